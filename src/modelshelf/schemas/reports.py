"""What `verify` and `doctor` found, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.domain.doctor_report import Severity
from modelshelf.domain.verify_report import Fault
from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.doctor_report import Report
    from modelshelf.domain.verify_report import VerifyReport


@dataclass(frozen=True)
class FindingJson(JsonObject):
    """One thing that a verification found, and what became of it."""

    kind: Fault
    """What is wrong."""
    base: str
    """The base that it lies in."""
    path: str
    """The file, link, ref or folder that it is about."""
    repo_id: str
    """Its repository; empty where none is known."""
    file: str
    """A file of the repository that has this content; empty where none is known."""
    model_name: str
    """The registered model that needs it; empty where none does."""
    digest: str
    """What its bytes should be; empty where that isn't the question."""
    commit_hash: str
    """The commit whose snapshot it belongs to; empty for what belongs to no single one."""
    fact: str
    """What was found instead."""
    repaired: bool
    """Whether it is right again."""
    quarantined: str
    """Where the damaged bytes lie now; empty while they lie where they were."""
    trouble: str
    """Why it couldn't be repaired, in a sentence."""
    detail: str
    """What is wrong, in a sentence or two."""
    hint: str
    """The command that fixes it; empty when nothing is left to do."""


@dataclass(frozen=True)
class VerifyReportJson(JsonObject):
    """What a verification read and found."""

    checked_blobs: int
    """How many blobs it read."""
    checked_bytes: int
    """How many bytes those have."""
    skipped_blobs: int
    """How many it left out, since they were verified before."""
    skipped_bytes: int
    """How many bytes those have."""
    offline: Sequence[str]
    """The bases that aren't there; nothing is known about what lies on them."""
    wrong: int
    """How many findings are still wrong."""
    findings: Sequence[FindingJson]
    """What was found."""

    @classmethod
    def of(cls, report: VerifyReport) -> VerifyReportJson:
        """Return a report."""
        findings = [FindingJson.like(finding) for finding in report.findings]
        return cls.like(report, wrong=len(report.wrong), findings=findings)


@dataclass(frozen=True)
class DiagnosisJson(JsonObject):
    """One thing that the doctor looked at."""

    severity: Severity
    """How bad it is."""
    topic: str
    """What it is about, in a word, such as `base`, `registry` or `hub`."""
    detail: str
    """What is so, in a sentence."""
    command: str
    """The command that mends it; empty when there's nothing to mend, or only a person knows how."""
    path: str
    """The file or folder that it is about; empty for what has none."""
    size_bytes: int
    """The bytes that it is about."""
    fixable: bool
    """Whether `shelf doctor --fix` mends it."""


@dataclass(frozen=True)
class DoctorReportJson(JsonObject):
    """What the doctor found, the worst first."""

    settings: str
    """The settings file in force."""
    registry: str
    """Where the registry is; without a password."""
    errors: int
    """How many findings are errors."""
    warnings: int
    """How many are warnings."""
    fixed: Sequence[str]
    """What was fixed, in sentences."""
    findings: Sequence[DiagnosisJson]
    """What was looked at, the worst first."""

    @classmethod
    def of(cls, report: Report, where: Mapping[str, str]) -> DoctorReportJson:
        """Return a report.

        Args:
            report: It.
            where: The settings file and the registry that it is about.
        """
        findings = [DiagnosisJson.like(found, fixable=bool(found.fix)) for found in report.found]
        return cls.like(report, **where, warnings=report.count(Severity.WARNING), findings=findings)
