"""Making room: which placements leave a tier so that something fits. Pure: numbers in, a plan or an error out.

Both ways to make room share the same rules. Demoting (`plan_eviction`) moves placements to a slower tier; deleting
(`plan_deletion`) is for the slowest tier if its owner allows it, and takes only what the hub still has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from modelshelf.domain.tiers import PRIMARY, SECONDARY, Room
from modelshelf.domain.watermarks import Watermarks
from modelshelf.errors import Conflict, OutOfSpace
from modelshelf.units import format_duration, format_size

PINNED, IN_USE, BUSY, YOUNG, ONLY_COPY = "pinned", "in use", "busy", "young", "only-copy"
_FREE_DISK = "Free some space on its disk."
NAMED = 5
"""How many models a sentence names; an error's fields name all."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One placement on the tier that is short of room.

    Two models with the same snapshot are one placement and one candidate, pinned or in use if
    either is: as two, each would need the other's bytes and neither could ever leave.
    """

    model_name: str
    model_id: int
    """Unique among the candidates of one tier."""
    free_bytes: int
    """Bytes that evicting it frees on this tier: those that no other model there needs."""
    last_used_at: float
    """Seconds since 1970, through shelf or by another program (`domain.reads`); `arrived_at` for one never used."""
    arrived_at: float
    """When it came to this tier, in seconds since 1970."""
    pinned: bool = False
    leased: bool = False
    """Whether a valid lease or an open file holds it."""
    busy: bool = False
    """Whether a job works on it."""
    load_s: float | None = None
    """How long its last load took, in seconds; None if none was measured."""
    on_hub: bool = False
    """Whether the hub was asked and still has this commit; if not, it is never deleted."""
    mirrored: bool = False
    """Whether only clients' requests at `/hf` brought it, and no person."""
    twins: tuple[str, ...] = ()
    """The other whole models of its snapshot, which leave with it."""
    needed_by: tuple[str, ...] = ()
    """The adapters on this tier, or a faster one, whose base model it is; `last_used_at` heeds their uses."""

    @property
    def model_names(self) -> tuple[str, ...]:
        """Return the models that leave with it, itself first."""
        return (self.model_name, *self.twins)

    @property
    def used_at(self) -> float | None:
        """When it was last used, in seconds since 1970; None for one never used, whose arrival counts instead."""
        return None if self.last_used_at == self.arrived_at else self.last_used_at


@dataclass(frozen=True, slots=True)
class EvictionPlan:
    """The placements to evict, and the bytes that frees."""

    victims: tuple[Candidate, ...]
    """In the order of eviction, coldest first; empty if it fits without eviction."""
    free_bytes: int
    """The bytes that the victims free together: at least `target_bytes`."""
    need_bytes: int
    """The bytes that room was asked for."""
    target_bytes: int
    """The bytes to free: down to the low watermark if possible, else to the limit."""

    @property
    def model_names(self) -> list[str]:
        """Return the models that leave, in the order of eviction."""
        return [name for victim in self.victims for name in victim.model_names]


def plan_eviction(
    need_bytes: int,
    room: Room,
    candidates: Iterable[Candidate],
    marks: Watermarks,
    now_s: float,
    *,
    protect: Collection[int] = (),
    same_disk: bool = False,
    location: str = PRIMARY,
) -> EvictionPlan:
    """Return which placements to demote so that `need_bytes` fit.

    The least recently used leave first. Of those used at the same time the larger leaves first, because one move
    is then enough where several would be needed; then the one that loads faster, because it is missed less; then
    by name. A victim that isn't needed in the end stays, the most recently used first.

    Args:
        need_bytes: How many bytes will be written; 0 brings usage back under a limit that was lowered.
        room: The tier's numbers.
        candidates: The placements on it.
        marks: When and how far to make room, and the minimum stay.
        now_s: Seconds since 1970.
        protect: Ids of models that are never chosen, such as the one that room is made for.
        same_disk: Whether the tier to demote to is on the same file system, so that demoting frees no disk.
        location: The tier, for the errors.

    Returns:
        The plan; without victims if it fits already.

    Raises:
        Conflict: Only pinned, used, busy or young models keep it from fitting; names each with its reason.
        OutOfSpace: It wouldn't fit even without all of them, or the disk is full and demoting frees none of it.
    """
    free_bytes = room.free_bytes - room.reserved_on_disk_bytes
    if same_disk and need_bytes > free_bytes:
        raise _out_of_space(
            f"Need {format_size(need_bytes)}, the disk of {location} has {format_size(max(0, free_bytes))} free, "
            "and the tier to evict to is on the same disk: nothing was moved.",
            _FREE_DISK,
            _Ask(need_bytes, room, location),
        )
    ours = [c for c in candidates if c.model_id not in protect]
    return _plan(_Ask(need_bytes, room, location), [(c, _reasons(c, marks, now_s)) for c in ours], marks)


def plan_deletion(
    need_bytes: int,
    room: Room,
    candidates: Iterable[Candidate],
    marks: Watermarks,
    now_s: float,
    *,
    protect: Collection[int] = (),
    location: str = SECONDARY,
) -> EvictionPlan:
    """Return which placements to delete so that `need_bytes` fit: the rules of `plan_eviction`, and only what the
    hub still has at that commit. For `ON_SECONDARY_FULL=remove-unpinned` alone.

    Args:
        need_bytes: How many bytes will be written.
        room: The tier's numbers.
        candidates: The placements on it.
        marks: When and how far to make room, and the minimum stay.
        now_s: Seconds since 1970.
        protect: Ids of models that are never chosen.
        location: The tier, for the errors.

    Returns:
        The plan; without victims if it fits already.

    Raises:
        Conflict: Only pinned, used, busy or young models keep it from fitting; names each with its reason.
        OutOfSpace: It wouldn't fit even without all of those, because models that the hub doesn't have stay.
    """
    ours = [c for c in candidates if c.model_id not in protect]
    reasons = [(c, (*_reasons(c, marks, now_s), *(() if c.on_hub else (ONLY_COPY,)))) for c in ours]
    return _plan(_Ask(need_bytes, room, location), reasons, marks)


def leaving_first(
    need_bytes: int, room: Room, candidates: Iterable[Candidate], marks: Watermarks, now_s: float
) -> tuple[Candidate, ...]:
    """Return which mirrored placements are deleted before any other leaves: as many as needed, or all that may.

    Like every deletion it takes only what the hub still has. The arguments are those of `plan_eviction`.
    """
    idle = [c for c in candidates if c.mirrored and c.on_hub and not _reasons(c, marks, now_s)]
    return _choose(_targets(_Ask(need_bytes, room, PRIMARY), marks)[-1], idle)


def is_enough(
    need_bytes: int,
    room: Room,
    coldest: Iterable[Candidate],
    *,
    marks: Watermarks,
    now_s: float,
    protect: Collection[int] = (),
    only_from_hub: bool = False,
) -> bool:
    """Return whether a plan over the coldest placements of a tier is the plan over all of them.

    Args:
        need_bytes: What is about to be written.
        room: What was measured on the tier.
        coldest: The placements that were used before all others, and every one that was used at the same time as them.
        marks: When and how far to make room, and the minimum stay.
        now_s: Seconds since 1970.
        protect: Ids of models that are never chosen.
        only_from_hub: Whether only what the hub still has may go, as for `plan_deletion`.
    """
    if room.limit_bytes is not None and need_bytes > room.limit_bytes:
        return True  # no plan helps
    ours = (c for c in coldest if c.model_id not in protect and not _reasons(c, marks, now_s))
    movable_bytes = sum(c.free_bytes for c in ours if c.on_hub or not only_from_hub)
    return movable_bytes >= _targets(_Ask(need_bytes, room, PRIMARY), marks)[0]


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request for room on a tier."""

    need_bytes: int
    room: Room
    location: str

    def over_bytes(self, mark: float) -> int:
        """Return by how much usage would exceed this fraction of the limit; negative if it wouldn't."""
        if self.room.limit_bytes is None:
            return 0
        allowed = self.room.limit_bytes if mark == 1 else int(self.room.limit_bytes * mark)
        return self.need_bytes + self.room.usage_bytes + self.room.reserved_bytes - allowed

    def over_disk_bytes(self) -> int:
        """Return how many bytes the disk lacks; negative if it has enough."""
        return self.need_bytes + self.room.reserved_on_disk_bytes - self.room.free_bytes

    def by_disk(self) -> bool:
        """Return whether the disk, and not the limit, is short."""
        return self.over_bytes(1.0) <= 0

    def there(self) -> str:
        """Return what the tier has, in words."""
        headroom = format_size(self.room.headroom_bytes)
        where = "on its disk" if self.by_disk() else f"of {format_size(self.room.limit_bytes or 0)}"
        return f"{self.location} has {headroom} {where}"


_Reasoned = Sequence[tuple[Candidate, tuple[str, ...]]]


def _plan(ask: _Ask, reasoned: _Reasoned, marks: Watermarks) -> EvictionPlan:
    """Return the plan for candidates that each come with the reasons to stay."""
    limit_bytes = ask.room.limit_bytes
    if limit_bytes is not None and ask.need_bytes > limit_bytes:
        raise _out_of_space(
            f"Need {format_size(ask.need_bytes)}, {ask.location} may hold {format_size(limit_bytes)} in all: "
            "nothing was moved.",
            "Raise the limit, or put it on another tier.",
            ask,
        )
    free = [c for c, why in reasoned if not why]
    movable_bytes = sum(c.free_bytes for c in free)
    for target_bytes in _targets(ask, marks):
        if target_bytes <= movable_bytes:
            victims = _choose(target_bytes, free)
            return EvictionPlan(victims, sum(c.free_bytes for c in victims), ask.need_bytes, target_bytes)
    raise _refusal(ask, movable_bytes, [(c, why) for c, why in reasoned if why and c.free_bytes > 0], marks)


def _targets(ask: _Ask, marks: Watermarks) -> list[int]:
    """Return how many bytes to free, the best target first; the last must be reached."""
    disk_bytes = max(0, ask.over_disk_bytes())
    if ask.over_bytes(marks.high) <= 0:
        return [disk_bytes]
    return [max(disk_bytes, ask.over_bytes(mark)) for mark in (marks.low, marks.high, 1.0)]


def _choose(target_bytes: int, free: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the coldest candidates that together free `target_bytes`, without any that isn't needed for that."""
    victims: list[Candidate] = []
    surplus_bytes = -target_bytes
    for candidate in sorted(free, key=_coldness):
        if surplus_bytes >= 0:
            break
        victims.append(candidate)
        surplus_bytes += candidate.free_bytes
    needed: list[Candidate] = []
    for victim in reversed(victims):
        if victim.free_bytes <= surplus_bytes:
            surplus_bytes -= victim.free_bytes
        else:
            needed.append(victim)
    return tuple(reversed(needed))


def _coldness(candidate: Candidate) -> tuple[float, int, float, str, int]:
    """Return the sort key of candidates: the first to be evicted is smallest."""
    load_s = candidate.load_s or 0.0
    return candidate.last_used_at, -candidate.free_bytes, load_s, candidate.model_name, candidate.model_id


def _reasons(candidate: Candidate, marks: Watermarks, now_s: float) -> tuple[str, ...]:
    """Return why a placement has to stay; nothing if it may be evicted.

    An arrival in the future means that the clock was set back. The minimum stay only saves work and protects nothing,
    so it is then ignored rather than kept until the clock has caught up.
    """
    young = 0 <= now_s - candidate.arrived_at < marks.min_stay_s
    facts = ((PINNED, candidate.pinned), (IN_USE, candidate.leased), (BUSY, candidate.busy), (YOUNG, young))
    return tuple(reason for reason, holds in facts if holds)


def _refusal(ask: _Ask, movable_bytes: int, blocked: _Reasoned, marks: Watermarks) -> Conflict | OutOfSpace:
    """Return the error that says why there is no plan, even with every permitted eviction."""
    missing_bytes = _targets(ask, marks)[-1] - movable_bytes
    blocked = sorted(blocked, key=lambda pair: _coldness(pair[0]))
    fields = _fields(ask) | {
        "movable_bytes": movable_bytes,
        "blocked": [{"model_name": c.model_name, "why": list(why), "free_bytes": c.free_bytes} for c, why in blocked],
    }
    need = f"Need {format_size(ask.need_bytes)}, {ask.there()}"
    held = [(c, why) for c, why in blocked if ONLY_COPY not in why]
    held_bytes = sum(c.free_bytes for c, _ in held)
    if missing_bytes > held_bytes:
        most = (
            f"evicting what may go frees {format_size(movable_bytes)}, what has to stay holds {format_size(held_bytes)}"
        )
        hint = "Raise the limit, or remove a model: shelf ls shows their sizes."
        return OutOfSpace(f"{need}; {most}.", hint=_FREE_DISK if ask.by_disk() else hint, **fields)
    names = listed([f"{c.model_name} ({format_size(c.free_bytes)}, {_in_words(why, marks)})" for c, why in held])
    detail = f"{need}; these would make room but have to stay: {names}."
    return Conflict(detail, hint=_remedy(missing_bytes, held), **fields)


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence, at most five of them.

    >>> listed(["a", "b"]), listed(list("abcdefg"))
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _in_words(reasons: Iterable[str], marks: Watermarks) -> str:
    words = {BUSY: "a job is working on it", YOUNG: f"arrived less than {format_duration(marks.min_stay_s)} ago"}
    return " and ".join(words.get(reason, reason) for reason in reasons)


def _remedy(missing_bytes: int, held: _Reasoned) -> str:
    """Return what a person can do so that room can be made."""
    pinned = [c for c, why in held if why == (PINNED,)]
    if missing_bytes <= sum(c.free_bytes for c in pinned):
        return " and ".join(f"shelf unpin {c.model_name}" for c in _choose(missing_bytes, pinned)) + " would make room."
    return "Try again when they aren't in use and have been here long enough, or move or remove one of them."


def _fields(ask: _Ask) -> dict[str, object]:
    """Return the fields of every refusal, as in `tiers.check_fits`."""
    return {
        "cache_location": ask.location,
        "needed_bytes": ask.need_bytes,
        "headroom_bytes": ask.room.headroom_bytes,
        "limit_bytes": ask.room.limit_bytes,
        "usage_bytes": ask.room.usage_bytes,
        "reserved_bytes": ask.room.reserved_bytes,
        "free_bytes": ask.room.free_bytes,
        "would_hold": [],
    }


def _out_of_space(detail: str, hint: str, ask: _Ask) -> OutOfSpace:
    """Return the error for a shortage that no eviction ends."""
    return OutOfSpace(detail, hint=hint, **_fields(ask), movable_bytes=0, blocked=[])
