"""Verifying: every byte of every blob against its name, and every name against its target. Offline.

A verification is a job. Good blobs are recorded as it goes, so that a killed one continues where it was; findings are
the job's result, which any process can read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from modelshelf.domain.job_params import VerifyParams, params_of
from modelshelf.domain.jobs import Job
from modelshelf.domain.models import ModelRow, State
from modelshelf.domain.outside import parse_json
from modelshelf.domain.ports import Clock
from modelshelf.domain.verify_report import Fault, Finding, VerifyReport
from modelshelf.errors import Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.schemas.json_object import to_json
from modelshelf.schemas.reports import VerifyReportJson
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.running import Running
from modelshelf.services.lifecycle.rate_limit import Throttle
from modelshelf.services.maintenance.repair import Repairer
from modelshelf.services.maintenance.verified_notes import VerifiedNotes
from modelshelf.services.maintenance.verify_targets import Survey, Surveyor
from modelshelf.store.repos import scan, verify
from modelshelf.store.repos.verify import Target

_LOST = frozenset({Fault.MISSING_FILE, Fault.DANGLING_LINK})


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies models, or everything on every online tier."""

    registry: Registry
    library: Library
    surveyor: Surveyor
    repairer: Repairer
    clock: Clock
    runner: JobRunner

    def enqueue(
        self,
        model_names: Sequence[str] = (),
        *,
        max_age_s: float | None = None,
        rate_bytes_per_s: int | None = None,
        repair: bool = False,
    ) -> Job:
        """Return a new job that verifies, or the unfinished one with the same parameters.

        Args:
            model_names: The models; without one everything, registered or not.
            max_age_s: Skip blobs that were verified within this time and not written since.
            rate_bytes_per_s: How much to read in a second; None: unlimited.
            repair: Whether to set damage aside and bring good bytes.

        Raises:
            NotFound: There is no such model.
            Unavailable: Its tier is offline.
        """
        for model in map(self.library.model, model_names):
            if model.state is State.OFFLINE:
                raise Unavailable(model.detail, hint="Mount its drive.", model_name=model.row.model_name)
        names = sorted(set(model_names))
        params = VerifyParams(tuple(names), max_age_s, rate_bytes_per_s, repair)
        return self.runner.enqueue_once(params, ", ".join(names))

    def run(self, running: Running) -> None:
        """Run a verification.

        **Crash:** the next run of the same job skips what was found good since the job was made, and keeps what
        was repaired.

        Raises:
            NotFound: A named model was removed.
            Unavailable: Its tier is offline.
        """
        job, params = running.job, params_of(running.job, VerifyParams)
        running.progress.phase("looking")
        survey = self.surveyor.survey(params.model_names)
        skipped, todo = self._split(survey, job.created_at - (params.max_age_s or 0.0))
        with VerifiedNotes(self.registry, self.clock, survey.tier_ids) as notes:
            bad = verify.verify_blobs(
                todo,
                workers=verify.all_cores(),
                throttle=partial(Throttle(params.rate_bytes_per_s, self.clock), check=running.progress.check),
                progress=running.progress,
                on_checked=notes.add,
            )
        notes.add_damage([*survey.findings, *bad])
        empty = VerifyReport(
            checked_blobs=len(todo),
            checked_bytes=running.progress.read().done_bytes,
            skipped_blobs=len(skipped),
            skipped_bytes=sum(_size(scan.stamp(target.real)) for target in skipped),
            offline=tuple(survey.offline),
            findings=(),
        )
        result = _Result(self.registry, job, empty)
        found = self._confirmed([*survey.findings, *bad])
        for row in self.registry.models():
            if any(finding.model_name == row.model_name and finding.kind in _LOST for finding in found):
                self.registry.set_signature(row.id, "")  # the next listing checks every file again
        result.keep(found)
        if params.repair:
            self.repairer.repair(found, running, result.keep)

    def _split(self, survey: Survey, since: float) -> tuple[list[Target], list[Target]]:
        """Return the files verified since a time and not written after, and the rest."""
        checked = {base: self.registry.verified.of_tier(tier_id, since) for base, tier_id in survey.tier_ids.items()}
        skipped: list[Target] = []
        todo: list[Target] = []
        for target in survey.targets:
            known = checked[target.base].get(target.digest)
            (skipped if known and known == scan.stamp(target.real) else todo).append(target)
        return skipped, todo

    def _confirmed(self, findings: Iterable[Finding]) -> list[Finding]:
        """Drop findings about models that were moved, updated or removed since, and about files that are gone."""
        rows: dict[str, ModelRow] = {row.model_name: row for row in self.registry.models()}
        return [finding for finding in findings if self._stands(finding, rows.get(finding.model_name))]

    def _stands(self, finding: Finding, row: ModelRow | None) -> bool:
        if row is None:
            return not finding.model_name and finding.kind is not Fault.MISSING_FILE
        same_commit = finding.commit_hash in ("", row.commit_hash)
        return same_commit and self.library.base_of(row) == finding.base


class _Result:
    """A job's findings, kept in its row as it goes.

    What an earlier run of the job set aside or repaired can't be seen on the disk any more, and is carried over.
    """

    def __init__(self, registry: Registry, job: Job, empty: VerifyReport) -> None:
        self._registry = registry
        self._job_id = job.id
        self._empty = empty
        earlier = read_report(job.result).findings if job.result else ()
        self._earlier = [finding for finding in earlier if _is_over(finding)]

    def keep(self, findings: Iterable[Finding]) -> None:
        """Write what is known so far."""
        now = list(findings)
        paths = {finding.path for finding in now}
        carried = [finding for finding in self._earlier if finding.path not in paths]
        report = replace(self._empty, findings=(*carried, *now))
        values = {"result": to_json(VerifyReportJson.of(report)), "total_bytes": report.checked_bytes}
        self._registry.update_job(self._job_id, values)


def read_report(result: str) -> VerifyReport:
    """Return the report in a job's result.

    Raises:
        BadInput: It isn't JSON.
    """
    value: Any = parse_json(result)
    names = Finding.__slots__
    findings = [
        Finding(**{name: found[name] for name in names} | {"kind": Fault(found["kind"])}) for found in value["findings"]
    ]
    return VerifyReport(
        checked_blobs=value["checked_blobs"],
        checked_bytes=value["checked_bytes"],
        skipped_blobs=value["skipped_blobs"],
        skipped_bytes=value["skipped_bytes"],
        offline=tuple(value["offline"]),
        findings=tuple(findings),
    )


def _is_over(finding: Finding) -> bool:
    """Return whether nothing more can be done about a finding, and another verification would not find it."""
    return finding.repaired or bool(finding.quarantined and not finding.model_name)


def _size(stamp: str) -> int:
    return int(stamp.partition(":")[0] or 0)
