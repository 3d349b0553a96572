"""Tiers: what a base holds, what it may hold, and whether something fits. Pure arithmetic with measured numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from modelshelf.domain.disks import Capabilities
from modelshelf.domain.names import BasePath
from modelshelf.errors import BadInput, OutOfSpace
from modelshelf.units import format_size

PRIMARY, SECONDARY, CUSTOM = "primary", "secondary", "custom"
PromoteMode = Literal["never", "auto", "always"]
"""Whether a model that is used on a slower tier moves to the primary; see `domain.promotion`."""


@dataclass(frozen=True, slots=True)
class Tier:
    """One base directory on one disk, with a rank and a limit."""

    location: str
    """`primary`, `secondary` or `custom`."""
    base: BasePath
    """The base in this process: absolute, without `hub`."""
    limit_bytes: int | None
    """None: only the disk limits it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Measured bytes under a base; a byte that two links share counts once."""

    apparent_bytes: int
    """As `du -s --apparent-size`."""
    allocated_bytes: int
    """As `du -s`: blocks of 512 bytes that the file system gave out."""
    breakdown: Mapping[str, int]
    """Apparent bytes by kind; see `BREAKDOWN`. Their sum is `apparent_bytes`."""
    hole_bytes: int = 0
    """Bytes of holes in parts: reserved, and not written yet."""

    @property
    def written_bytes(self) -> int:
        """Bytes without the holes, which count as reserved.

        >>> Usage(apparent_bytes=10, allocated_bytes=4, breakdown={"partial": 10}, hole_bytes=6).written_bytes
        4
        """
        return self.apparent_bytes - self.hole_bytes


BREAKDOWN = ("models", "shared", "partial", "orphans", "xet", "transformers", "other")


SCARCE_ENTRIES = 10_000
"""A disk with fewer free inodes than this is shown as short of them."""


@dataclass(frozen=True, slots=True)
class TierStatus:
    """A tier as it is now."""

    tier: Tier
    online: bool
    detail: str
    """Why it is offline, or what a person should know; empty if all is well."""
    usage: Usage
    reserved_bytes: int
    """Reserved for work that hasn't written it yet."""
    free_bytes: int
    """Free on the disk for an ordinary user, regardless of the limit."""
    warning: bool = False
    """Whether usage and reservations passed the warning threshold of the limit."""
    writable: bool = True
    """Whether this process may write there; models on a read-only tier can be loaded."""
    capabilities: Capabilities | None = None
    """What its file system can; None while it is offline."""
    free_entries: int | None = None
    """The disk's free inodes; None if it doesn't count them."""

    @property
    def held_bytes(self) -> int:
        """Bytes that count towards its limit: used and reserved ones, each once."""
        return self.usage.written_bytes + self.reserved_bytes

    def __repr__(self) -> str:
        """Return location, base, and the used part of the limit, in one line."""
        limit = "" if self.limit_bytes is None else f" of {format_size(self.limit_bytes)}"
        held = f"{format_size(self.usage_bytes)}{limit}" if self.online else "offline"
        return f"<Tier {self.location} {self.base}: {held}>"

    @property
    def location(self) -> str:
        """`primary`, `secondary` or `custom`."""
        return self.tier.location

    @property
    def base(self) -> BasePath:
        """The base in this process."""
        return self.tier.base

    @property
    def limit_bytes(self) -> int | None:
        """How many bytes it may hold; None: only the disk limits it."""
        return self.tier.limit_bytes

    @property
    def usage_bytes(self) -> int:
        """How many bytes it holds."""
        return self.usage.apparent_bytes


@dataclass(frozen=True, slots=True)
class Room:
    """The numbers that decide whether something fits on one tier, all in bytes."""

    limit_bytes: int | None
    usage_bytes: int
    reserved_bytes: int
    """Reserved on this tier for others."""
    free_bytes: int
    """Free on the file system."""
    reserved_on_disk_bytes: int
    """Reserved for others on the same file system, on any tier."""

    @property
    def headroom_bytes(self) -> int:
        """Bytes that can still be reserved within the limit and the disk; never negative."""
        by_disk = self.free_bytes - self.reserved_on_disk_bytes
        by_limit = by_disk
        if self.limit_bytes is not None:
            by_limit = self.limit_bytes - self.usage_bytes - self.reserved_bytes
        return max(0, min(by_disk, by_limit))

    def without(self, freed_bytes: int) -> Room:
        """Return the numbers once so many bytes are deleted.

        >>> Room(10, 8, 0, 5, 0).without(3)
        Room(limit_bytes=10, usage_bytes=5, reserved_bytes=0, free_bytes=8, reserved_on_disk_bytes=0)
        """
        return replace(self, usage_bytes=self.usage_bytes - freed_bytes, free_bytes=self.free_bytes + freed_bytes)


def outstanding(before: Mapping[int, int], now: Mapping[int, int]) -> int:
    """Return the bytes that reservations may still claim beyond a usage measured between two readings of them.

    A reservation shrinks as its bytes reach the disk, and grows when bytes with a wrong digest are deleted. One
    read before the measurement counts as it was then, because later writes may not have been measured, or as it is
    now if that is more; a released one still counts; a new one counts in full.

    >>> outstanding({1: 10, 2: 5, 4: 1}, {1: 4, 3: 7, 4: 6})
    28
    """
    return sum(max(before.get(key, 0), now.get(key, 0)) for key in before.keys() | now.keys())


def check_fits(need_bytes: int, tier: Tier, room: Room) -> None:
    """Raise unless `need_bytes` more fit on `tier`.

    Args:
        need_bytes: How many bytes will be written.
        tier: The tier.
        room: Its numbers.

    Raises:
        OutOfSpace: They don't fit; says what is needed and what is free.
    """
    if need_bytes <= room.headroom_bytes:
        return
    limit = room.limit_bytes
    if limit is not None and need_bytes > limit - room.usage_bytes - room.reserved_bytes:
        there = f"{format_size(room.headroom_bytes)} of {format_size(limit)}"
        hint = "Raise the limit, or remove a model: shelf ls shows their sizes."
    else:
        there = f"{format_size(room.headroom_bytes)} on its disk"
        hint = "Free some space on it."
    raise OutOfSpace(
        f"Need {format_size(need_bytes)}, {tier.location} has {there}.",
        hint=hint,
        cache_location=tier.location,
        cache_path=tier.base,
        needed_bytes=need_bytes,
        headroom_bytes=room.headroom_bytes,
        limit_bytes=room.limit_bytes,
        usage_bytes=room.usage_bytes,
        reserved_bytes=room.reserved_bytes,
        free_bytes=room.free_bytes,
        would_hold=[],
    )


def with_holders(err: OutOfSpace, need_bytes: int, elsewhere: Sequence[tuple[str, int]]) -> OutOfSpace:
    """Return the error with the tiers that have enough room.

    Args:
        err: The error of `check_fits`.
        need_bytes: How many bytes will be written.
        elsewhere: The other tiers, each with its headroom in bytes.
    """
    holders = [name for name, headroom_bytes in elsewhere if headroom_bytes >= need_bytes]
    if not holders:
        return err
    hint = f"{' or '.join(holders)} has room: --to {holders[0]}"
    return OutOfSpace(err.detail, hint=hint, **(err.fields | {"would_hold": holders}))


def for_a_move(err: OutOfSpace, model_name: str, source: str) -> OutOfSpace:
    """Return the error of a move that didn't fit, without the model's own tier among the proposals.

    Args:
        err: The error of `with_holders`.
        model_name: The model.
        source: Its present location.
    """
    named = err.fields.get("would_hold")
    if not isinstance(named, list) or source not in named:
        return err
    holders = [name for name in named if name != source]
    hint = f"{' or '.join(holders)} has room." if holders else f"{model_name} stays where it is, on {source}."
    return OutOfSpace(err.detail, hint=hint, **(err.fields | {"would_hold": holders}))


@dataclass(frozen=True, slots=True)
class Tiers:
    """The bases of this process and how a stored row resolves to one of them."""

    primary: Tier
    secondary: Tier | None = None
    custom_map: Mapping[str, str] = field(default_factory=dict)
    """Prefixes of custom paths in other processes, and in this one (`CACHE_PATH_MAP`)."""

    def configured(self) -> list[Tier]:
        """Return the tiers of the settings, fastest first."""
        return [self.primary] + ([self.secondary] if self.secondary else [])

    def resolve(self, cache_location: str, cache_path: str | None) -> Tier:
        """Return the tier of a stored location in this process.

        For primary and secondary this process's base replaces the stored one; a custom path is used as it
        is, or through `custom_map`.

        Raises:
            BadInput: There is no such tier, or the path isn't a base.
        """
        if cache_location == PRIMARY:
            return self.primary
        if cache_location == SECONDARY:
            if self.secondary is None:
                raise BadInput(
                    "There is no secondary tier.",
                    hint="Set SECONDARY_CACHE_PATH in .env.",
                    cache_location=cache_location,
                )
            return self.secondary
        if cache_location != CUSTOM:
            of_a_base = f"For a base: cache_location custom, cache_path {cache_location}"
            raise BadInput(
                f"{cache_location!r} isn't a tier.",
                hint=of_a_base if "/" in cache_location else "Use primary, secondary or custom.",
                cache_location=cache_location,
            )
        if not cache_path:
            raise BadInput(
                "cache_location custom needs a cache_path.",
                hint='Give the base, such as "cache_path": "/mnt/usb-drive/models".',
            )
        return self._custom(BasePath(_moved(cache_path, self.custom_map)))

    def chosen(self, cache_location: str, cache_path: str | None) -> Tier:
        """Return the requested tier; a request may also name the base of primary and secondary, and no other.

        Raises:
            BadInput: There is no such tier, the path isn't a base, or it is another base than the tier's.
        """
        tier = self.resolve(cache_location, cache_path)
        if cache_location != CUSTOM and cache_path and BasePath(cache_path) != tier.base:
            raise BadInput(
                f"cache_location {cache_location} is {tier.base}; the cache_path {cache_path} is another base.",
                hint=f"Leave cache_path out; or use cache_location custom for {cache_path}.",
                cache_location=cache_location,
                cache_path=cache_path,
            )
        return tier

    def stored_path(self, base: str) -> str:
        """Return the registry's path for a base: a custom one by the other processes' path, so that all resolve it.

        >>> inside = Tiers(Tier(PRIMARY, "/base", None), custom_map={"/mnt/usb/models": "/models/usb"})
        >>> inside.stored_path("/models/usb/a"), inside.resolve(CUSTOM, "/mnt/usb/models/a").base
        ('/mnt/usb/models/a', '/models/usb/a')
        """
        if base in [tier.base for tier in self.configured()]:
            return base
        return _moved(base, {ours: theirs for theirs, ours in self.custom_map.items()})

    def _custom(self, base: BasePath) -> Tier:
        for tier in self.configured():
            if base == tier.base:
                raise BadInput(
                    f"{base} is the {tier.location} base.",
                    hint=f"Use cache_location {tier.location}.",
                    cache_path=base,
                )
            if base.startswith(f"{tier.base}/") or tier.base.startswith(f"{base}/"):
                raise BadInput(
                    f"{base} and the {tier.location} base {tier.base} overlap (one contains the other):"
                    " files would be counted twice.",
                    hint="Use a folder beside it.",
                    cache_path=base,
                )
        return Tier(CUSTOM, base, None)


def _moved(path: str, prefixes: Mapping[str, str]) -> str:
    """Return a path with its longest matching prefix replaced."""
    for old, new in sorted(prefixes.items(), key=lambda pair: -len(pair[0])):
        if path == old or path.startswith(old.rstrip("/") + "/"):
            return new.rstrip("/") + path[len(old.rstrip("/")) :]
    return path
