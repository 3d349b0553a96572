"""Who goes for whom: room by slots and by memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from modelshelf.domain.scheduling_room import Loaded, Room, RoomPlan
from modelshelf.domain.serving import DeviceMemory, EngineState, Wanted
from modelshelf.domain.stall import StallWatch, patience_s
from tests.fakes.engines import GB
from tests.unit.domain.stage import EMBED, A, B, C

READY, DRAINING, STARTING = EngineState.READY, EngineState.DRAINING, EngineState.STARTING
BIG = replace(C, needs_bytes=6 * GB)
FAR = replace(B, is_elsewhere=True, needs_bytes=0)
ON_GPU = replace(B, device="cuda:0")


def idle(model: Wanted, idle_s: float = 10.0, *, pinned: bool = False, load_s: float = 1.0) -> Loaded:
    """Return an idle engine."""
    return Loaded(model, READY, pinned, idle_s, load_s)


def busy(model: Wanted, ready_s: float = 0.0, *, had_its_turn: bool = True, pinned: bool = False) -> Loaded:
    """Return a busy engine."""
    return Loaded(model, READY, pinned, None, 1.0, had_its_turn, ready_s)


CASES: dict[str, tuple[Wanted, Sequence[Loaded], int, DeviceMemory | None, RoomPlan]] = {
    "an-empty-machine-has-room": (A, [], 1, None, RoomPlan(start=True)),
    "unknown-memory-keeps-nobody-out": (BIG, [idle(A)], 2, None, RoomPlan(start=True)),
    "a-slot-is-of-its-kind": (EMBED, [busy(A)], 1, None, RoomPlan(start=True)),
    "the-longest-idle-goes": (C, [idle(A, 10), idle(B, 20)], 2, None, RoomPlan(stop=(2,))),
    "a-slow-load-is-worth-keeping": (C, [idle(A, 10), idle(B, 20, load_s=9)], 2, None, RoomPlan(stop=(1,))),
    "its-own-kind-goes-first": (
        BIG, [idle(EMBED, 99), idle(A, 1)], 9, DeviceMemory(5 * GB, 10 * GB), RoomPlan(stop=(1,)),
    ),
    "another-kind-goes-for-memory": (
        BIG, [idle(EMBED)], 9, DeviceMemory(5 * GB, 10 * GB), RoomPlan(stop=(4,)),
    ),
    "another-device-gives-nothing": (
        BIG, [idle(ON_GPU, 99), idle(A, 1)], 9, DeviceMemory(5 * GB, 10 * GB), RoomPlan(stop=(1,)),
    ),
    "no-more-than-are-needed": (
        replace(C, needs_bytes=5 * GB), [idle(A, 99), idle(replace(B, needs_bytes=5 * GB), 1)], 9,
        DeviceMemory(GB, 10 * GB), RoomPlan(stop=(2,)),
    ),
    "mapped-weights-that-look-free-are-not": (
        BIG, [busy(replace(A, needs_bytes=5 * GB), had_its_turn=False)], 9, DeviceMemory(9 * GB, 10 * GB), RoomPlan(),
    ),
    "one-that-drains-is-waited-for": (C, [Loaded(A, DRAINING), idle(B)], 2, None, RoomPlan()),
    "a-pinned-one-that-drains-too": (C, [Loaded(A, DRAINING, pinned=True)], 1, None, RoomPlan()),
    "one-that-starts-is-waited-for": (C, [Loaded(A, STARTING)], 1, None, RoomPlan()),
    "a-busy-one-drains": (C, [busy(A, 5), busy(B, 3)], 2, None, RoomPlan(drain=(2,))),
    "a-busy-one-has-its-turn": (C, [busy(A, had_its_turn=False)], 1, None, RoomPlan()),
    "idle-and-busy-together": (
        replace(C, needs_bytes=10 * GB), [idle(A), busy(B)], 9, DeviceMemory(8 * GB, 10 * GB),
        RoomPlan(stop=(1,), drain=(2,)),
    ),
    "pinned-ones-never-go": (C, [idle(A, pinned=True), busy(B, pinned=True)], 2, None, RoomPlan(never=True)),
    "others-hold-the-memory": (BIG, [idle(A)], 9, DeviceMemory(GB, 10 * GB), RoomPlan(never=True)),
    "another-server-needs-no-room": (FAR, [busy(A), idle(C)], 1, DeviceMemory(0, 10 * GB), RoomPlan(start=True)),
    "another-server-takes-no-slot": (A, [busy(FAR)], 1, DeviceMemory(5 * GB, 10 * GB), RoomPlan(start=True)),
    "another-server-gives-no-room": (C, [idle(FAR, 99), idle(A)], 1, None, RoomPlan(stop=(1,))),
    "unknown-needs-take-a-slot": (
        replace(C, needs_bytes=0), [idle(A)], 2, DeviceMemory(0, 10 * GB), RoomPlan(start=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_room(case: tuple[Wanted, Sequence[Loaded], int, DeviceMemory | None, RoomPlan]) -> None:
    """A model that wants to start gets its room from those who can give it best, or waits, or hears that it won't."""
    wanted, loaded, max_loaded, memory, plan = case
    assert Room(loaded, max_loaded, memory).plan(wanted, (), may_drain=True) == plan


def test_who_has_not_waited_drains_nobody() -> None:
    """A model that came a moment ago waits for a busy engine, whose turn was long."""
    assert Room([busy(A)], 1, None).plan(C, (), may_drain=False) == RoomPlan()


def test_an_older_claim_keeps_the_slot() -> None:
    """A free slot that an older wish will take is not free."""
    assert Room([], 1, None).plan(C, [A], may_drain=True) == RoomPlan()


def test_a_start_that_gets_on_is_not_given_up() -> None:
    """A start is given up after its patience without progress, whatever it took before."""
    watch = StallWatch(patience_s(GB, 20e6), 0)
    assert watch.patience_s == 500
    assert [watch.is_stalled(499, 0), watch.is_stalled(499, 1), watch.is_stalled(998, 1)] == [False, False, False]
    assert watch.is_stalled(999, 1)
