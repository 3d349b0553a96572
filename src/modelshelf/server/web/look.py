"""What the pages are made of, read once for each: tiers, models and unfinished jobs, as in the JSON of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelshelf.domain.jobs import FAILED, RUNNING, UNFINISHED, Job
from modelshelf.domain.listing import EVERYTHING
from modelshelf.domain.models import ModelRow
from modelshelf.schemas.tiers import TierJson
from modelshelf.services.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Look:
    """The library at one time."""

    now_s: float
    """Seconds since 1970."""
    change_id: int
    """The newest change before anything was read: those after it may be missing here."""
    tiers: Sequence[TierJson]
    warn_share: float
    """The fraction of a limit above which a tier has a warning."""
    models: Sequence[ModelRow]
    """All models, by name."""
    bases: Mapping[int, str]
    """The base of each model in this process, by its id."""
    jobs: Sequence[Job]
    """The unfinished jobs, newest first."""
    _by_base: dict[str, TierJson] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Note the tiers by their bases, which are asked for each model several times."""
        self._by_base.update((tier.cache_path, tier) for tier in reversed(self.tiers))

    def on(self, tier: TierJson) -> list[ModelRow]:
        """Return the models of a tier."""
        return [row for row in self.models if self.bases[row.id] == tier.cache_path]

    def tier_of(self, row: ModelRow) -> TierJson | None:
        """Return the tier of a model; None if it has none in this process."""
        return self._by_base.get(self.bases[row.id])

    @property
    def failed(self) -> list[ModelRow]:
        """The models whose newest job failed, and which aren't whole: a person has to decide."""
        return [row for row in self.models if row.job_state == FAILED and not row.complete]


def look_at(shelf: Shelf, change_id: int, tiers: Sequence[TierJson], before: Look | None = None) -> Look:
    """Return the library as it is now, with its tiers as they were measured.

    Args:
        shelf: The library.
        change_id: Its newest change.
        tiers: Its tiers.
        before: The library as it was after the newest change. A running job's progress isn't a change, so its models
            will do only where none runs, or did.
    """
    services = shelf.services
    jobs = services.registry.jobs(state=UNFINISHED)
    if before is not None and not any(job.state == RUNNING for job in (*jobs, *before.jobs)):
        now_s = services.clock.now()
        return Look(now_s, change_id, tiers, services.tiers.warning_threshold, before.models, before.bases, jobs)
    rows = services.registry.listed(EVERYTHING)
    where: dict[tuple[str, str], str] = {}
    for row in rows:
        key = (row.cache_location, row.cache_path)
        if key not in where:
            where[key] = services.library.base_of(row)
    return Look(
        now_s=services.clock.now(),
        change_id=change_id,
        tiers=tiers,
        warn_share=services.tiers.warning_threshold,
        models=rows,
        bases={row.id: where[row.cache_location, row.cache_path] for row in rows},
        jobs=jobs,
    )
