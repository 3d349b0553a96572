"""What `gc` and `dedupe` will do or did, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.gc import DedupePlan, GcItem, GcPlan, Tidied
    from modelshelf.domain.tiers import Tier

_ITEMS_SHOWN = 1000
"""A job keeps its result in one row."""


@dataclass(frozen=True)
class ItemJson(JsonObject):
    """One file, link or folder that goes, or whose bytes are shared."""

    kind: str
    """Of garbage what it is, such as `blob` or `partial`; of a shared blob how: `reflink` or `link`."""
    path: str
    """Its path."""
    size_bytes: int
    """What that frees; 0 where other links keep the bytes."""
    why: str
    """Why, in a few words."""
    age_s: float
    """How long ago it was written, renamed or linked, in seconds."""

    @classmethod
    def of(cls, item: GcItem) -> ItemJson:
        """Return an item."""
        return cls.like(item, age_s=round(item.age_s, 1))


@dataclass(frozen=True)
class GcPlanJson(JsonObject):
    """What collecting garbage would delete on one tier."""

    cache_location: str
    """The tier: `primary`, `secondary` or `custom`."""
    cache_path: str
    """Its base."""
    items: Sequence[ItemJson]
    """What would go."""
    free_bytes: int
    """What that would free."""
    quarantine_bytes: int
    """What lies in quarantine and would stay there."""
    recent_bytes: int
    """What may be garbage, but was touched too lately, or is open, to tell."""
    notes: Sequence[str]
    """What would be left alone and why, in sentences."""

    @classmethod
    def of(cls, tier: Tier, plan: GcPlan) -> GcPlanJson:
        """Return the plan of one tier."""
        items = [ItemJson.of(item) for item in plan.items]
        return cls.like(plan, cache_location=tier.location, cache_path=tier.base, items=items)


@dataclass(frozen=True)
class DedupePlanJson(JsonObject):
    """Which blobs of one tier would share their bytes."""

    cache_location: str
    """The tier: `primary`, `secondary` or `custom`."""
    cache_path: str
    """Its base."""
    items: Sequence[ItemJson]
    """The blobs that would get the bytes of another one."""
    share_bytes: int
    """How many bytes would be on the disk once less."""
    notes: Sequence[str]
    """What would be left alone and why, in sentences."""

    @classmethod
    def of(cls, tier: Tier, plan: DedupePlan) -> DedupePlanJson:
        """Return the plan of one tier."""
        items = [
            ItemJson(plan.method, path, group.size_bytes, f"identical to {group.keep}", 0.0)
            for group in plan.groups
            for path in group.others
        ]
        return cls.like(plan, cache_location=tier.location, cache_path=tier.base, items=items)


@dataclass(frozen=True)
class TidiedJson(JsonObject):
    """What `gc` or `dedupe` did on one tier, measured."""

    cache_location: str
    """The tier: `primary`, `secondary` or `custom`."""
    cache_path: str
    """Its base."""
    items: Sequence[ItemJson]
    """The first of what went, or shares its bytes now."""
    items_in_all: int
    """How many there were."""
    freed_bytes: int
    """The sum of the sizes of what was deleted."""
    freed_allocated_bytes: int
    """What the disk has free more."""
    shared_bytes: int
    """What reflinks share: the disk has it once, `du` counts it for each file."""
    quarantine_bytes: int
    """What lies in quarantine still."""
    recent_bytes: int
    """What may be garbage, but was touched too lately, or is open, to tell."""
    notes: Sequence[str]
    """What was left alone and why, in sentences."""

    @classmethod
    def of(cls, done: Tidied) -> TidiedJson:
        """Return what was done on one tier."""
        return cls.like(
            done,
            cache_location=done.location,
            cache_path=done.base,
            items=[ItemJson.of(item) for item in done.items[:_ITEMS_SHOWN]],
            items_in_all=len(done.items),
        )


@dataclass(frozen=True)
class TidyReportJson(JsonObject):
    """What `gc` or `dedupe` did."""

    tiers: Sequence[TidiedJson]
    """What was done on each tier, in the order of the work."""
