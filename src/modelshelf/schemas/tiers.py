"""Tiers as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.tiers import TierStatus


@dataclass(frozen=True)
class CapabilitiesJson(JsonObject):
    """What a file system can."""

    symlinks: bool
    """Whether a snapshot can link to its blobs; if not, the snapshot itself holds the bytes."""
    hardlinks: bool
    """Whether a file can have two names."""
    reflinks: bool
    """Whether two files can share their bytes until one of them is written."""
    case_sensitive: bool
    """Whether `a` and `A` are two names."""
    any_names: bool
    """Whether a name may hold a colon and end in a dot."""
    locks: bool
    """Whether a held lock keeps others out."""
    network: bool
    """Whether it is behind a network or a similar protocol."""
    max_file_bytes: int | None
    """The largest file it holds; null if no limit is known."""
    file_system: str
    """Its type as the mount table spells it; empty without a table."""
    weaknesses: Sequence[str]
    """What can't be done there, in sentences; none for an ordinary disk."""


@dataclass(frozen=True)
class TierJson(JsonObject):
    """A tier as it is now."""

    cache_location: str
    """`primary`, `secondary` or `custom`."""
    cache_path: str
    """Its base: an HF_HOME, the folder above `hub`."""
    online: bool
    """Whether it is online."""
    detail: str
    """Why it is offline, or what a person should know; empty if all is well."""
    limit_bytes: int | None
    """What it may hold; null if only its disk limits it."""
    usage_bytes: int
    """What it holds, as `du -s --apparent-size` counts; a byte that two links share counts once."""
    allocated_bytes: int
    """What its files take on the disk, as `du -s` counts."""
    reserved_bytes: int
    """Reserved for jobs that haven't written it yet."""
    free_bytes: int
    """Free on its disk for an ordinary user, regardless of the limit."""
    free_entries: int | None
    """Its disk's free inodes; null if the file system doesn't count them."""
    warning: bool
    """Whether usage and reservations passed the warning threshold of the limit."""
    writable: bool
    """Whether the server may write there; models on a read-only tier can be loaded."""
    breakdown: Mapping[str, int]
    """Bytes by kind; together they are `usage_bytes`."""
    capabilities: CapabilitiesJson | None
    """What its file system can; null if the tier is offline."""

    @classmethod
    def of(cls, status: TierStatus) -> TierJson:
        """Return the object for a tier."""
        can = status.capabilities
        return cls.like(
            status,
            cache_location=status.tier.location,
            cache_path=status.tier.base,
            limit_bytes=status.tier.limit_bytes,
            usage_bytes=status.usage.apparent_bytes,
            allocated_bytes=status.usage.allocated_bytes,
            breakdown=dict(status.usage.breakdown),
            capabilities=None if can is None else CapabilitiesJson.like(can),
        )
