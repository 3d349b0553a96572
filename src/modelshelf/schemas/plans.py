"""What adding, moving, updating and removing will do or did, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject
from modelshelf.schemas.models import EvictedJson

if TYPE_CHECKING:
    from modelshelf.domain.outcomes import Removed
    from modelshelf.domain.plans import AddPlan, MovePlan, RemovalPlan, UnneededSnapshot, UpdatePlan


@dataclass(frozen=True)
class AddPlanJson(JsonObject):
    """What registering a model and pulling it will do."""

    model_name: str
    """Your name for it."""
    hf_path: str
    """Its repository, in the hub's spelling."""
    commit_hash: str | None
    """The commit; null if the hub wasn't reachable."""
    cache_location: str
    """Its tier."""
    cache_path: str
    """The base of that tier."""
    size_bytes: int
    """The total size of its files."""
    fetch_bytes: int
    """Bytes to download, without those that earlier tries left."""
    copy_bytes: int
    """Bytes to copy from another tier, which has the same files; likewise."""
    makes_room: Sequence[EvictedJson]
    """The models that are evicted from the tier, coldest first."""

    @classmethod
    def of(cls, plan: AddPlan) -> AddPlanJson:
        """Return the object for a plan."""
        return cls.like(
            plan,
            model_name=plan.wanted.model_name,
            hf_path=plan.wanted.hf_path,
            cache_location=plan.tier.location,
            cache_path=plan.tier.base,
            makes_room=EvictedJson.each(plan.makes_room),
        )


@dataclass(frozen=True)
class MovePlanJson(JsonObject):
    """What a move will do."""

    model_name: str
    """The model."""
    from_path: str
    """The source."""
    cache_location: str
    """The target tier."""
    cache_path: str
    """The base of that tier."""
    method: str
    """How bytes get there: `link`, `reflink` or `copy`."""
    size_bytes: int
    """The total size of its files."""
    transfer_bytes: int
    """How many of its bytes the target lacks."""
    keep_source: bool
    """Whether the old copy stays."""
    note: str
    """Why the old copy stays though nobody asked for it, in a sentence."""
    makes_room: Sequence[EvictedJson]
    """The models that are evicted from the target, coldest first."""

    @classmethod
    def of(cls, plan: MovePlan) -> MovePlanJson:
        """Return the object for a plan."""
        return cls.like(
            plan,
            from_path=plan.source,
            cache_location=plan.target_location,
            cache_path=plan.target,
            size_bytes=plan.total_bytes,
            makes_room=EvictedJson.each(plan.makes_room),
        )


@dataclass(frozen=True)
class UpdatePlanJson(JsonObject):
    """What an update will do."""

    model_name: str
    """The model."""
    hf_path: str
    """Its repository."""
    revision: str
    """The branch, tag or commit that it follows."""
    old_commit: str | None
    """Its present commit."""
    new_commit: str
    """The newest commit of the revision."""
    is_current: bool
    """Whether the two are equal, so that there is nothing to do."""
    size_bytes: int
    """The total size of its files at the new commit."""
    fetch_bytes: int
    """Bytes to download."""
    shared_bytes: int
    """Bytes that both commits have."""
    keep_old: bool
    """Whether the old snapshot stays."""
    note: str
    """Why nothing newer is looked for, in a sentence; empty if it is."""

    @classmethod
    def of(cls, plan: UpdatePlan) -> UpdatePlanJson:
        """Return the object for a plan."""
        return cls.like(plan, hf_path=plan.repo_id, size_bytes=plan.total_bytes)


@dataclass(frozen=True)
class RemovalPlanJson(JsonObject):
    """What removing a model will delete."""

    removed_files: Sequence[str]
    """The files, as absolute paths."""
    free_bytes: int
    """Bytes that this frees."""
    folders: Sequence[str]
    """The folders of other programs that have it by a view, and won't any more."""

    @classmethod
    def of(cls, plan: RemovalPlan, folders: Sequence[str]) -> RemovalPlanJson:
        """Return the object for a plan, and for the folders that have the model by a view."""
        return cls.like(plan, removed_files=[*plan.links, *plan.blobs], folders=folders)


@dataclass(frozen=True)
class RemovedJson(JsonObject):
    """What a removal did, measured."""

    model_name: str
    """The removed model."""
    removed_files: Sequence[str]
    """The deleted files, as absolute paths."""
    freed_bytes: int
    """Their total size."""
    freed_allocated_bytes: int
    """Bytes that the disk has gained."""
    kept: str
    """Why some of its bytes stay on the disk, in a sentence; empty if all went."""
    needed_by: Sequence[str]
    """Registered adapters that can't be loaded without it."""
    folders: Sequence[str]
    """The folders of other programs that had it by a view, and don't any more."""

    @classmethod
    def of(cls, removed: Removed) -> RemovedJson:
        """Return the object for a result."""
        return cls.like(
            removed,
            removed_files=[*removed.plan.links, *removed.plan.blobs],
            freed_bytes=removed.freed.apparent_bytes,
            freed_allocated_bytes=removed.freed.allocated_bytes,
        )


@dataclass(frozen=True)
class UnneededJson(JsonObject):
    """Files of a snapshot that no registered model needs."""

    hf_path: str
    """The repository."""
    commit_hash: str
    """The commit."""
    cache_location: str
    """Its tier."""
    cache_path: str
    """The base of that tier."""
    free_bytes: int
    """The least bytes that deleting them frees."""

    @classmethod
    def of(cls, found: UnneededSnapshot) -> UnneededJson:
        """Return the object for a snapshot."""
        return cls.like(found, hf_path=found.repo_id, cache_location=found.tier.location, cache_path=found.tier.base)


@dataclass(frozen=True)
class UnneededPlanJson(JsonObject):
    """What will be deleted of an unregistered repository."""

    hf_path: str
    """The repository."""
    unneeded: Sequence[UnneededJson]
    """Its unregistered snapshots here."""

    @classmethod
    def of(cls, repo_id: str, found: Sequence[UnneededSnapshot]) -> UnneededPlanJson:
        """Return the object for a plan."""
        return cls(repo_id, [UnneededJson.of(one) for one in found])


@dataclass(frozen=True)
class UnneededRemovedJson(JsonObject):
    """What was deleted of an unregistered repository, measured."""

    hf_path: str
    """The repository."""
    freed_bytes: int
    """The total size of the deleted files."""
    freed_allocated_bytes: int
    """Bytes that the disk has gained."""
