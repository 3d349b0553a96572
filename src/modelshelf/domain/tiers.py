"""Tiers: what a base holds, what it may hold, and whether something fits. Pure arithmetic over measured numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelshelf.domain.disks import Capabilities
from modelshelf.domain.names import BasePath
from modelshelf.errors import BadInput, OutOfSpace
from modelshelf.units import format_size

PRIMARY, SECONDARY, CUSTOM = "primary", "secondary", "custom"


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
    """What was measured under a base, in bytes; a byte that two links share counts once."""

    apparent_bytes: int
    """As `du -s --apparent-size`."""
    allocated_bytes: int
    """As `du -s`: blocks of 512 bytes that the file system gave out."""
    breakdown: Mapping[str, int]
    """Apparent bytes by kind; see `BREAKDOWN`. Their sum is `apparent_bytes`."""
    hole_bytes: int = 0
    """How many of them are holes in parts of downloads: promised by a reservation, not written yet."""

    @property
    def written_bytes(self) -> int:
        """What is there without the holes, which a reservation counts.

        >>> Usage(apparent_bytes=10, allocated_bytes=4, breakdown={"partial": 10}, hole_bytes=6).written_bytes
        4
        """
        return self.apparent_bytes - self.hole_bytes


BREAKDOWN = ("models", "shared", "partial", "orphans", "xet", "transformers", "other")


SCARCE_ENTRIES = 10_000
"""A disk that can have fewer files more than this is shown as short of them."""


@dataclass(frozen=True, slots=True)
class TierStatus:
    """A tier as it is now."""

    tier: Tier
    online: bool
    detail: str
    """Why it is offline, or what a person should know; empty when all is well."""
    usage: Usage
    reserved_bytes: int
    """Promised to work that has not written it yet."""
    free_bytes: int
    """What the disk has for an ordinary user, limit or not."""
    warning: bool = False
    """Whether usage and reservations passed the warning threshold of the limit."""
    writable: bool = True
    """Whether this process may write there; models on a tier that is read-only can be loaded."""
    capabilities: Capabilities | None = None
    """What its file system can; None while it is offline."""
    free_entries: int | None = None
    """How many files more (inodes) its disk can have; None where it counts none."""

    @property
    def held_bytes(self) -> int:
        """What its limit has to hold: the bytes that are there and those that are promised, each counted once."""
        return self.usage.written_bytes + self.reserved_bytes

    def __repr__(self) -> str:
        """Return location, base, and how much of the limit is taken, in one line."""
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
        """How many bytes may lie there; None: only the disk limits it."""
        return self.tier.limit_bytes

    @property
    def usage_bytes(self) -> int:
        """How many bytes lie there."""
        return self.usage.apparent_bytes


@dataclass(frozen=True, slots=True)
class Room:
    """The numbers that decide whether something fits on one tier, all in bytes."""

    limit_bytes: int | None
    usage_bytes: int
    reserved_bytes: int
    """Promised on this tier to others."""
    free_bytes: int
    """Free on the file system."""
    reserved_on_disk_bytes: int
    """Promised to others on the same file system, on any tier."""

    @property
    def headroom_bytes(self) -> int:
        """What can still be promised: the limit and the disk both respected; never negative."""
        by_disk = self.free_bytes - self.reserved_on_disk_bytes
        by_limit = by_disk
        if self.limit_bytes is not None:
            by_limit = self.limit_bytes - self.usage_bytes - self.reserved_bytes
        return max(0, min(by_disk, by_limit))


def outstanding(before: Mapping[int, int], now: Mapping[int, int]) -> int:
    """Return the bytes that reservations may still claim beyond a usage measured between two readings of them.

    A reservation shrinks as its bytes reach the disk, and grows when bytes with a wrong digest are thrown away. One
    read before the measurement counts as it was then, for what it wrote since may not have been seen, or as it is
    now where that is more; one that is gone since counts as well; a new one counts in full.

    >>> outstanding({1: 10, 2: 5, 4: 1}, {1: 4, 3: 7, 4: 6})
    28
    """
    return sum(max(before.get(key, 0), now.get(key, 0)) for key in before.keys() | now.keys())


def check_fits(need_bytes: int, tier: Tier, room: Room) -> None:
    """Do nothing when `need_bytes` more fit on `tier`.

    Args:
        need_bytes: What has to be written.
        tier: Where.
        room: What was measured there.

    Raises:
        OutOfSpace: It does not fit; says what is needed and what is there.
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
    """Return the error with the tiers that would hold it.

    Args:
        err: What `check_fits` raised.
        need_bytes: What has to be written.
        elsewhere: The other tiers, each with its headroom in bytes.
    """
    holders = [name for name, headroom_bytes in elsewhere if headroom_bytes >= need_bytes]
    if not holders:
        return err
    hint = f"{' or '.join(holders)} has room: --to {holders[0]}"
    return OutOfSpace(err.detail, hint=hint, **(err.fields | {"would_hold": holders}))


def for_a_move(err: OutOfSpace, model_name: str, source: str) -> OutOfSpace:
    """Return the error of a move that did not fit: the tier that it is on isn't named as a place to go.

    Args:
        err: What `with_holders` returned.
        model_name: The model.
        source: The location that it lies on.
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
    """Prefixes of custom paths as others call them, and as this process does (`CACHE_PATH_MAP`)."""

    def configured(self) -> list[Tier]:
        """Return the tiers of the settings, fastest first."""
        return [self.primary] + ([self.secondary] if self.secondary else [])

    def resolve(self, cache_location: str, cache_path: str | None) -> Tier:
        """Return the tier that a stored location means in this process.

        For primary and secondary the base of this process wins over the stored one; a custom path is taken as it
        is, or through `custom_map`.

        Raises:
            BadInput: There is no such tier, or the path is no base.
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
            raise BadInput(
                f"{cache_location!r} isn't a tier.",
                hint="Use primary, secondary or custom.",
                cache_location=cache_location,
            )
        if not cache_path:
            raise BadInput(
                "cache_location custom needs a cache_path.",
                hint='Give the base, such as "cache_path": "/mnt/usb-drive/models".',
            )
        return self._custom(BasePath(_moved(cache_path, self.custom_map)))

    def chosen(self, cache_location: str, cache_path: str | None) -> Tier:
        """Return the tier that somebody asks for, who may name the base of primary and secondary too, and no other.

        Raises:
            BadInput: There is no such tier, the path is no base, or it is another base than the tier has.
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
        """Return how the registry spells a base: a custom one as others call it, so that every process resolves it.

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
    """Return a path with the longest of the prefixes that it has replaced."""
    for old, new in sorted(prefixes.items(), key=lambda pair: -len(pair[0])):
        if path == old or path.startswith(old.rstrip("/") + "/"):
            return new.rstrip("/") + path[len(old.rstrip("/")) :]
    return path
