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
    """One file, link or folder that is deleted, or whose bytes are shared."""

    kind: str
    """The kind of garbage, such as `blob` or `partial`; for a shared blob `reflink` or `link`."""
    path: str
    """Its path."""
    size_bytes: int
    """Bytes that this frees; 0 if other links keep them."""
    why: str
    """Why, in a few words."""
    age_s: float
    """How long ago it was written, renamed or linked, in seconds."""

    @classmethod
    def of(cls, item: GcItem) -> ItemJson:
        """Return the object for an item."""
        return cls.like(item, age_s=round(item.age_s, 1))


@dataclass(frozen=True)
class GcPlanJson(JsonObject):
    """What collecting garbage would delete on one tier."""

    cache_location: str
    """The tier: `primary`, `secondary` or `custom`."""
    cache_path: str
    """Its base."""
    items: Sequence[ItemJson]
    """What would be deleted."""
    free_bytes: int
    """Bytes that this would free."""
    quarantine_bytes: int
    """Bytes in quarantine, which would stay."""
    recent_bytes: int
    """Possible garbage that is too young, or open, to tell."""
    notes: Sequence[str]
    """What would be left alone and why, in sentences."""

    @classmethod
    def of(cls, tier: Tier, plan: GcPlan) -> GcPlanJson:
        """Return the object for one tier's plan."""
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
    """How many bytes the disk would store once less."""
    notes: Sequence[str]
    """What would be left alone and why, in sentences."""

    @classmethod
    def of(cls, tier: Tier, plan: DedupePlan) -> DedupePlanJson:
        """Return the object for one tier's plan."""
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
    """The first items that were deleted, or share their bytes now."""
    items_in_all: int
    """How many there were."""
    freed_bytes: int
    """The total size of what was deleted."""
    freed_allocated_bytes: int
    """Bytes that the disk has gained."""
    shared_bytes: int
    """Bytes that reflinks share: the disk stores them once, `du` counts them for each file."""
    quarantine_bytes: int
    """Bytes still in quarantine."""
    recent_bytes: int
    """Possible garbage that is too young, or open, to tell."""
    notes: Sequence[str]
    """What was left alone and why, in sentences."""

    @classmethod
    def of(cls, done: Tidied) -> TidiedJson:
        """Return the object for one tier's result."""
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
    """The result for each tier, in the order of the work."""
