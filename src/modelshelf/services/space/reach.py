"""Which jobs this process can run: those whose bases it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.adopt import AdoptRequest
from modelshelf.domain.job_params import DedupeParams, GcParams, JobParams, MoveParams, params_of
from modelshelf.domain.job_rules import SlowDisk
from modelshelf.domain.jobs import Job, JobKind
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput
from modelshelf.registry.registry import Registry
from modelshelf.services.space.tiers import TierService, destination
from modelshelf.store.probe import is_there
from modelshelf.store.tiers.slow import slow_disk_of

_NAME_A_BASE: dict[str, type[JobParams]] = {
    params.kind: params for params in (MoveParams, GcParams, DedupeParams, AdoptRequest)
}


@dataclass(frozen=True, slots=True)
class Reach:
    """Tells which jobs this process can run."""

    registry: Registry
    tiers: TierService

    def why_not(self, job: Job) -> str:
        """Return why this process can't run a job now, in a sentence; empty if it can.

        Any process may take a job with invalid parameters: running it says what is wrong.
        """
        try:
            params = params_of(job, _NAME_A_BASE[job.kind]) if job.kind in _NAME_A_BASE else None
        except BadInput:
            return ""
        try:
            reasons = [self.tiers.why_offline(tier) for tier in self._tiers_of(job, params)]
        except BadInput as err:
            return err.detail
        return next(filter(None, reasons), _why_no_folder(params))

    def slow_disk(self, job: Job) -> SlowDisk | None:
        """Return the slow disk to which a pull, an update or a move would write; None for any other job or disk."""
        try:
            if job.kind == JobKind.MOVE:
                params = params_of(job, MoveParams)
                where = [(params.cache_location, params.cache_path or "")]
            elif job.kind in (JobKind.PULL, JobKind.UPDATE):
                rows = self.registry.models(model_id=job.model_id)
                where = [(row.cache_location, row.cache_path) for row in rows]
            else:
                return None
            bases = [self.tiers.settings.resolve(*one).base for one in where]
        except BadInput:
            return None
        return next((SlowDisk(key, base) for base in bases if (key := slow_disk_of(Path(base)))), None)

    def _tiers_of(self, job: Job, params: JobParams | None) -> Iterator[Tier]:
        for row in self.registry.models(model_id=job.model_id) if job.model_id is not None else ():
            yield self.tiers.settings.resolve(row.cache_location, row.cache_path)
        if isinstance(params, MoveParams):
            yield self.tiers.settings.resolve(params.cache_location, params.cache_path)
        where = params.tier if isinstance(params, GcParams | DedupeParams) else None
        where = params.to if isinstance(params, AdoptRequest) else where
        if where:
            own = [tier for tier in self.tiers.configured() if where in (tier.location, tier.base)]
            yield from own or [self.tiers.settings.resolve(*destination(where))]


def _why_no_folder(params: JobParams | None) -> str:
    """Return why the folder to adopt isn't here; empty if it is."""
    if isinstance(params, AdoptRequest) and not is_there(Path(params.path).parent):
        return f"There is no folder {params.path} here."
    return ""
