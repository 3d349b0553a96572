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
    """One finding of a verification, and the result of its repair."""

    kind: Fault
    """What is wrong."""
    base: str
    """Its base."""
    path: str
    """The file, link, ref or folder that it is about."""
    repo_id: str
    """Its repository; empty if none is known."""
    file: str
    """A file of the repository with this content; empty if none is known."""
    model_name: str
    """The registered model that needs it; empty if none does."""
    digest: str
    """The digest that its bytes should have; empty if it isn't about bytes."""
    commit_hash: str
    """The commit of its snapshot; empty if it belongs to no single one."""
    fact: str
    """What was found instead."""
    repaired: bool
    """Whether it is right again."""
    quarantined: str
    """The path of the damaged bytes in quarantine; empty if they weren't moved."""
    trouble: str
    """Why it couldn't be repaired, in a sentence."""
    detail: str
    """What is wrong, in a sentence or two."""
    hint: str
    """The command that fixes it; empty if nothing is left to do."""


@dataclass(frozen=True)
class VerifyReportJson(JsonObject):
    """What a verification read and found."""

    checked_blobs: int
    """How many blobs it read."""
    checked_bytes: int
    """How many bytes those have."""
    skipped_blobs: int
    """How many blobs it skipped, because they were verified before."""
    skipped_bytes: int
    """How many bytes those have."""
    offline: Sequence[str]
    """The offline bases, about which nothing is known."""
    wrong: int
    """How many findings are still wrong."""
    findings: Sequence[FindingJson]
    """What was found."""

    @classmethod
    def of(cls, report: VerifyReport) -> VerifyReportJson:
        """Return the object for a report."""
        findings = [FindingJson.like(finding) for finding in report.findings]
        return cls.like(report, wrong=len(report.wrong), findings=findings)


@dataclass(frozen=True)
class DiagnosisJson(JsonObject):
    """One finding of the doctor."""

    severity: Severity
    """How bad it is."""
    topic: str
    """What it is about, in a word, such as `base`, `registry` or `hub`."""
    detail: str
    """What is the case, in a sentence."""
    command: str
    """The command that fixes it; empty if there is nothing to fix, or only a person knows how."""
    path: str
    """The file or folder that it is about; empty without one."""
    size_bytes: int
    """The bytes that it is about."""
    fixable: bool
    """Whether `shelf doctor --fix` fixes it."""


@dataclass(frozen=True)
class DoctorReportJson(JsonObject):
    """What the doctor found, the worst first."""

    settings: str
    """The settings file in use."""
    registry: str
    """Where the registry is; without a password."""
    errors: int
    """How many findings are errors."""
    warnings: int
    """How many are warnings."""
    fixed: Sequence[str]
    """What was fixed, in sentences."""
    findings: Sequence[DiagnosisJson]
    """The findings, the worst first."""

    @classmethod
    def of(cls, report: Report, where: Mapping[str, str]) -> DoctorReportJson:
        """Return the object for a report.

        Args:
            report: The report.
            where: The settings file and the registry.
        """
        findings = [DiagnosisJson.like(found, fixable=bool(found.fix)) for found in report.found]
        return cls.like(report, **where, warnings=report.count(Severity.WARNING), findings=findings)
