"""Letting identical blobs share their bytes, on every online tier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.gc import DedupePlan, GcItem, Tidied
from modelshelf.domain.job_params import DedupeParams, params_of
from modelshelf.domain.jobs import Job
from modelshelf.domain.tiers import Tier
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.running import Running
from modelshelf.services.maintenance.gc import away, chosen, run_on_each
from modelshelf.services.space.tiers import TierService
from modelshelf.store.gc import dedupe
from modelshelf.store.layout import Base

_WHY = {"reflink": "shares its extents with an identical blob", "link": "is a hard link of an identical blob"}


@dataclass(frozen=True, slots=True)
class Deduper:
    """Merges identical blobs."""

    registry: Registry
    tiers: TierService
    runner: JobRunner

    def enqueue(self, params: DedupeParams) -> Job:
        """Return the job that merges identical blobs.

        Raises:
            BadInput: There is no such tier.
            Unavailable: It is offline.
        """
        chosen(self.tiers, params.tier)
        return self.runner.enqueue_once(params)

    def plan(self, params: DedupeParams) -> list[tuple[Tier, DedupePlan]]:
        """Return which blobs would share their bytes on each tier; raises as `enqueue` does."""
        there = [(found, dedupe.plan_dedupe(Base(Path(found.base)))) for found in chosen(self.tiers, params.tier)]
        return there + [(found, DedupePlan(found.base, "", (), (why,))) for found, why in away(self.tiers, params.tier)]

    def run(self, running: Running) -> None:
        """Run a dedupe job.

        **Crash:** a second run finds what is left.
        """
        which = params_of(running.job, DedupeParams).tier
        run_on_each(self.registry, self.tiers, running, which, lambda tier: self._dedupe(tier, running))

    def _dedupe(self, tier: Tier, running: Running) -> Tidied:
        tier_id = self.tiers.open_to_write(tier)
        base = Base(Path(tier.base))
        running.progress.phase("looking")
        plan = dedupe.plan_dedupe(base)
        done = dedupe.execute(base, plan, self.registry.verified.of_tier(tier_id), running.progress)
        self.registry.verified.add(tier_id, done.verified)
        sizes = {path: group.size_bytes for group in plan.groups for path in group.others}
        return Tidied(
            location=tier.location,
            base=tier.base,
            items=tuple(GcItem(how, path, sizes[path], _WHY[how]) for path, how in done.merged),
            freed_bytes=done.freed.apparent_bytes,
            freed_allocated_bytes=done.freed.allocated_bytes,
            shared_bytes=done.shared_bytes,
            notes=tuple(done.left),
        )
