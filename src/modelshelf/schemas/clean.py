"""What cleaning could remove and did remove, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.clean import CleanItem, CleanPlan
    from modelshelf.domain.freed import Freed


@dataclass(frozen=True)
class CleanItemJson(JsonObject):
    """One thing that could go, or was removed."""

    kind: str
    """`unused`, `revision` or `older`."""
    model_name: str | None
    """The model; null for an unregistered snapshot."""
    hf_path: str
    """Its repository."""
    commit_hash: str
    """Its commit."""
    cache_location: str
    """Its tier."""
    cache_path: str
    """The base of that tier."""
    free_bytes: int
    """Bytes that deleting it frees."""
    detail: str
    """Why it could go, in a sentence."""

    @classmethod
    def of(cls, item: CleanItem) -> CleanItemJson:
        """Return the object for an item."""
        where = {"cache_location": item.location, "cache_path": item.base}
        name = item.model_name or None
        return cls.like(item, model_name=name, hf_path=item.repo_id, detail=item.why, kind=item.kind.value, **where)


@dataclass(frozen=True)
class CleanPlanJson(JsonObject):
    """What could go."""

    items: Sequence[CleanItemJson]
    """The largest first."""
    free_bytes: int
    """Bytes that all of it frees."""
    kept: Sequence[str]
    """What stays because it is pinned, leased or otherwise held, in sentences."""

    @classmethod
    def of(cls, plan: CleanPlan) -> CleanPlanJson:
        """Return the object for a plan."""
        return cls.like(plan, items=[CleanItemJson.of(item) for item in plan.items])


@dataclass(frozen=True)
class CleanedJson(JsonObject):
    """What was removed."""

    removed: Sequence[CleanItemJson]
    """What was removed."""
    freed_bytes: int
    """The total size of the deleted files."""
    freed_allocated_bytes: int
    """Bytes that the disk has gained."""
    left: Sequence[str]
    """Why the rest stayed, in sentences."""

    @classmethod
    def of(cls, gone: Sequence[tuple[CleanItem, Freed]], left: Sequence[str]) -> CleanedJson:
        """Return the object for a result."""
        apparent = sum(freed.apparent_bytes for _, freed in gone)
        allocated = sum(freed.allocated_bytes for _, freed in gone)
        return cls([CleanItemJson.of(item) for item, _ in gone], apparent, allocated, left)
