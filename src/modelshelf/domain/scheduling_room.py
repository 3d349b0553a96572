"""Room for one more engine: whether there is, who goes for it, whether it is worth waiting, or never.

Room is a slot of the engine's kind, and memory of its device. Memory is counted twice, and the smaller figure counts:
what is free now less what starting engines still take; and all that there is less what the files of all engines need,
for weights that are mapped from their files look free to the operating system.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from modelshelf.domain.serving import DeviceMemory, EngineState, Wanted


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine that holds room."""

    wanted: Wanted
    state: EngineState
    """Starting (fetching, promoting), ready, draining or asleep; a draining one leaves by itself."""
    pinned: bool = False
    idle_s: float | None = None
    """Seconds since its last answer, or since it fell asleep; None while it is busy or not ready."""
    load_s: float = 1.0
    """The seconds that its start took."""
    had_its_turn: bool = False
    """Whether it is busy, and has been long enough for others to have its room."""
    ready_s: float = 0.0
    """When it became ready."""

    @property
    def value(self) -> float:
        """The larger, the less it is worth to keep: idle seconds for each second that its load takes."""
        return (self.idle_s or 0.0) / max(self.load_s, 0.1)

    def needs_of(self, device: str) -> int:
        """Return what it takes of a device's memory; one that sleeps has its weights in the machine's own."""
        if self.state is EngineState.ASLEEP:
            return self.wanted.asleep_bytes if device == "" else 0
        return self.wanted.needs_of(device)


@dataclass(frozen=True, slots=True)
class RoomPlan:
    """What to do for a model that wants to start; to wait, where there is nothing in it."""

    start: bool = False
    stop: tuple[int, ...] = ()
    """Idle engines that go now, by the ids of their models."""
    drain: tuple[int, ...] = ()
    """Busy ones that go once they have answered."""
    never: bool = False
    """Whether waiting is in vain: neither all idle nor all busy ones together give the room."""


@dataclass(frozen=True, slots=True)
class Room:
    """The room of one moment."""

    loaded: Sequence[Loaded]
    max_loaded: int
    memory: DeviceMemory | None
    """The memory of the device that the model needs; None if unknown, and then memory limits nothing."""

    def plan(self, wanted: Wanted, claims: Sequence[Wanted], *, may_drain: bool) -> RoomPlan:
        """Return how a model gets its room.

        Args:
            wanted: The model.
            claims: The models that have waited longer, which will take room too.
            may_drain: Whether it has waited long enough for busy engines to go, those that had their turn.
        """
        if self._fits(wanted, claims, ()):
            return RoomPlan(start=True)
        movable = [each for each in self.loaded if not each.pinned or each.state is EngineState.DRAINING]
        if not self._fits(wanted, (), movable):
            return RoomPlan(never=True)
        leaving = [each for each in self.loaded if each.state is EngineState.DRAINING]
        idle = [each for each in movable if each not in leaving and each.idle_s is not None]
        idle.sort(key=lambda each: (each.state is not _ASLEEP, each.wanted.kind is not wanted.kind, -each.value))
        if (going := self._fewest(wanted, claims, leaving, idle)) is not None:
            return RoomPlan(stop=_ids(going))
        busy = sorted((each for each in movable if may_drain and each.had_its_turn), key=lambda each: each.ready_s)
        if (going := self._fewest(wanted, claims, leaving, [*idle, *busy])) is None:
            return RoomPlan()
        return RoomPlan(
            stop=_ids(each for each in going if each.idle_s is not None),
            drain=_ids(each for each in going if each.idle_s is None),
        )

    def _fewest(
        self, wanted: Wanted, claims: Sequence[Wanted], leaving: Sequence[Loaded], candidates: Sequence[Loaded]
    ) -> list[Loaded] | None:
        """Return who must go beside those that leave anyway, the first ones first; None where all aren't enough."""
        going: list[Loaded] = []
        for candidate in candidates:
            if self._fits(wanted, claims, [*leaving, *going]):
                break
            going.append(candidate)
        if not self._fits(wanted, claims, [*leaving, *going]):
            return None
        for each in list(going):  # one that a later one made needless stays
            others = [other for other in going if other is not each]
            if self._fits(wanted, claims, [*leaving, *others]):
                going = others
        return going

    def _fits(self, wanted: Wanted, claims: Sequence[Wanted], gone: Collection[Loaded]) -> bool:
        """Return whether there is room for a model once some engines are gone."""
        if wanted.is_elsewhere:
            return True
        kind, device = wanted.kind, wanted.device
        stays = [each for each in self.loaded if each not in gone]
        awake = (each.wanted for each in stays if each.state is not _ASLEEP)
        slots = [each for each in (*awake, *claims) if each.kind is kind]
        if sum(not each.is_elsewhere for each in slots) >= self.max_loaded:
            return False
        if self.memory is None or not wanted.needs_bytes:
            return True
        taken = _needs(stays, device)
        promised = _needs((each for each in stays if each.state not in _HAS_ITS_MEMORY), device)
        back = _needs((each for each in gone if each.state in _HAS_ITS_MEMORY), device)
        claimed_bytes = _needs(claims, device)
        free = min(self.memory.free_bytes + back - promised, self.memory.total_bytes - taken)
        return wanted.needs_bytes <= free - claimed_bytes


_ASLEEP = EngineState.ASLEEP
_HAS_ITS_MEMORY = frozenset({EngineState.READY, EngineState.DRAINING, _ASLEEP})


def _needs(holders: Iterable[Loaded | Wanted], device: str) -> int:
    return sum(each.needs_of(device) for each in holders)


def _ids(engines: Iterable[Loaded]) -> tuple[int, ...]:
    return tuple(each.wanted.model_id for each in engines)
