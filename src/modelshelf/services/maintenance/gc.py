"""Collecting garbage on every online tier: what nothing references goes, what a program is working on stays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from modelshelf.domain.gc import MIN_AGE_S, GcItem, GcPlan, Needs, Tidied
from modelshelf.domain.job_params import GcParams, params_of
from modelshelf.domain.jobs import UNFINISHED, Job, JobKind, result_of
from modelshelf.domain.models import FileEntry, ModelRow
from modelshelf.domain.names import Digest, RepoId, is_digest
from modelshelf.domain.outside import list_of, object_of
from modelshelf.domain.ports import Clock
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput, OutOfSpace, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.schemas.garbage import TidiedJson, TidyReportJson
from modelshelf.schemas.json_object import to_json
from modelshelf.services.catalog.look import Look
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.running import Running
from modelshelf.services.space.tiers import TierService
from modelshelf.store.gc import collect
from modelshelf.store.layout import Base
from modelshelf.store.tiers import governor, marker, meter

_DIGEST = attrgetter("digest")
_UPKEEP = (JobKind.GC, JobKind.DEDUPE)


@dataclass(frozen=True, slots=True)
class Collector:
    """Removes what nothing references."""

    registry: Registry
    library: Library
    tiers: TierService
    clock: Clock
    runner: JobRunner
    min_age_s: float = MIN_AGE_S
    """Files touched within this time count as in use, in seconds."""

    def enqueue(self, params: GcParams) -> Job:
        """Return the job that collects garbage.

        Raises:
            BadInput: There is no such tier.
            Unavailable: It is offline.
        """
        chosen(self.tiers, params.tier)
        return self.runner.enqueue_once(params)

    def plan(self, params: GcParams, look: Look | None = None) -> list[tuple[Tier, GcPlan]]:
        """Return what would be deleted on each tier; raises as `enqueue` does.

        Args:
            params: What is asked for.
            look: What was read of the library already.
        """
        look = look or Look(self.registry)
        return [(tier, self._plan(Base(Path(tier.base)), params, look)) for tier in chosen(self.tiers, params.tier)] + [
            (found, GcPlan(found.base, self.min_age_s, (), (why,))) for found, why in away(self.tiers, params.tier)
        ]

    def _plan(self, base: Base, params: GcParams, look: Look) -> GcPlan:
        now_s = self.clock.now()
        needs = self._needs(base, look.rows, look.files)
        return collect.plan_gc(base, needs, now_s, self.min_age_s, quarantine=params.quarantine, seen=look.base(base))

    def run(self, running: Running) -> None:
        """Run a gc job.

        **Crash:** a second run finds what is left; what the first one finished stays in the job's result.
        """
        params = params_of(running.job, GcParams)
        collect_on = partial(self._collect, running=running, params=params)
        run_on_each(self.registry, self.tiers, running, params.tier, collect_on)
        with contextlib.suppress(OutOfSpace):
            self.registry.drop_manifests()

    def _collect(self, tier: Tier, running: Running, params: GcParams) -> Tidied:
        tier_id = self.tiers.open_to_write(tier)
        base = Base(Path(tier.base))
        needs = partial(self.needs, base)
        running.progress.phase("looking")
        plan = self._plan(base, params, Look(self.registry))
        done = collect.execute(base, plan, needs, self.clock, running.progress)
        blobs = {Path(item.path).name for item in done.removed if item.kind == "blob"}
        self.registry.verified.forget(tier_id, filter(is_digest, blobs))
        meter.measure(base, keep=True)
        aside, went = _quarantined(plan.items), _quarantined(done.removed)
        return Tidied(
            location=tier.location,
            base=tier.base,
            items=tuple(done.removed),
            freed_bytes=done.freed.apparent_bytes,
            freed_allocated_bytes=done.freed.allocated_bytes,
            quarantine_bytes=plan.quarantine_bytes + aside - went,
            recent_bytes=plan.recent_bytes,
            notes=(*plan.notes, *done.left),
        )

    def needs(self, base: Base, repo_id: RepoId | None) -> Needs:
        """Return what the registry needs in a base now.

        Args:
            base: The base.
            repo_id: The repository; None for all.
        """
        if repo_id is None:
            return self._needs(base, self.registry.models(), Look(self.registry).files)
        return self._needs(base, self.registry.models(repo_id=repo_id), self.library.files)

    def _needs(self, base: Base, rows: Sequence[ModelRow], files: Callable[[ModelRow], list[FileEntry]]) -> Needs:
        def digests_of(rows: Iterable[ModelRow]) -> set[Digest]:
            return {digest for row in rows for digest in map(_DIGEST, files(row))}

        jobs = [job for job in self.registry.jobs(state=UNFINISHED) if job.kind not in _UPKEEP]
        working = {job.model_id for job in jobs}
        here = [row for row in rows if row.id in working or self.library.base_of(row) == str(base.path)]
        digests: dict[RepoId, set[Digest]] = {}
        for row in here:
            digests.setdefault(row.hf_path, set()).update(digests_of([row]))
        names = {row.model_name for row in here}
        return Needs(
            digests=digests,
            busy={row.hf_path for row in here if row.id in working or row.commit_hash is None},
            active=digests_of(row for row in here if row.id in working),
            resumable=digests_of(row for row in here if not row.complete),
            working=bool(jobs),
            models=names,
            elsewhere={row.model_name for row in rows} - names,
        )


def chosen(tiers: TierService, which: str | None) -> list[Tier]:
    """Return the chosen tiers: the named one, or all that are online.

    Args:
        tiers: The tiers of this process.
        which: `primary`, `secondary` or a base; None for all.

    Raises:
        BadInput: There is no such tier.
        Conflict: The named one belongs to another library.
        Unavailable: It is offline.
    """
    found = tiers.all()
    if which is None:
        return [tier for tier in found if not _offline(tiers, tier)]
    named = [tier for tier in found if which in (tier.location, tier.base) and (which != "custom")]
    if not named:
        names = ", ".join(tier.base if tier.location == "custom" else tier.location for tier in found)
        raise BadInput(f"{which!r} isn't a tier.", hint=f"Use one of {names}.", tier=which)
    governor.check_ours(Base(Path(named[0].base)), tiers.registry.id, tiers.registry.url)
    offline = _offline(tiers, named[0])
    if offline:
        raise Unavailable(offline, hint="Mount it.", cache_path=named[0].base)
    return named


def away(tiers: TierService, which: str | None) -> list[tuple[Tier, str]]:
    """Return the tiers among all that are offline, and why; none if one is named."""
    found = [] if which is not None else [tier for tier in tiers.all() if _was_used(tiers, tier)]
    return [(tier, why) for tier in found if (why := tiers.why_offline(tier))]


def _was_used(tiers: TierService, tier: Tier) -> bool:
    known = tier.base in tiers.registry.tier_ids() or tier.base in tiers.known.load()
    return known or marker.read_id(Base(Path(tier.base))) is not None


def _offline(tiers: TierService, tier: Tier) -> str:
    """Return why nothing can be done on a tier, in a sentence; empty if it is online."""
    return tiers.why_offline(tier) if _was_used(tiers, tier) else f"{tier.base} was never used."


def run_on_each(
    registry: Registry, tiers: TierService, running: Running, which: str | None, work: Callable[[Tier], Tidied]
) -> None:
    """Run a job's work on each of its tiers, keeping the results in its row.

    A tier that is read-only or offline doesn't stop the others.
    """

    def keep(outcome: Tidied) -> None:
        done.append(TidiedJson.of(outcome))
        registry.update_job(running.job.id, {"result": to_json(TidyReportJson(done))})

    done: list[Any] = list(tiers_of(running.job))
    for tier in chosen(tiers, which):
        try:
            outcome = work(tier)
        except ShelfError as err:
            if which is not None:
                raise
            outcome = Tidied(tier.location, tier.base, notes=(err.detail,))
        keep(outcome)
    for tier, why in away(tiers, which):
        keep(Tidied(tier.location, tier.base, notes=(why,)))


def _quarantined(items: Sequence[GcItem]) -> int:
    """Return the bytes that are, or were, in quarantine."""
    return sum(item.size_bytes for item in items if item.kind == "quarantine")


def tiers_of(job: Job) -> list[dict[str, Any]]:
    """Return what a job has done on each tier."""
    return list(list_of(result_of(job).get("tiers", []), object_of))
