"""Engines that sleep before they go: when, what they give back, how they wake, and what ends them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.scheduling_events import Close, Measured, Seen, Tick
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.serving import DeviceMemory, EngineState
from tests.fakes.engines import GB, wanted
from tests.unit.domain.stage import A, Stage

SLEEPER = wanted("sleeper", 7, device="gpu", asleep_bytes=GB)
OTHER = wanted("other", 8, device="gpu")
ONE = Rules(max_loaded=1, keep_alive_s=60, sleep_s=1000)


def asleep(rules: Rules = ONE) -> Stage:
    """Return a stage on which the sleeper sleeps since 60 s."""
    stage = Stage(rules)
    stage.load(1, SLEEPER)
    assert stage.tick(60) == ["sleep sleeper"]
    assert stage.slept(SLEEPER) == []
    return stage


def state(stage: Stage) -> EngineState:
    """Return what the sleeper has come to."""
    return stage.scheduler.engines[SLEEPER.model_id].state


def test_an_idle_engine_sleeps_and_then_goes() -> None:
    """An engine that can sleep does so when its time is over, and is stopped when it slept long."""
    stage = asleep()

    assert state(stage) is EngineState.ASLEEP
    assert stage.scheduler.due_s(60) == 1060
    assert stage.tick(1060) == ["stop sleeper"]
    assert stage.stopped(SLEEPER) == []
    assert stage.scheduler.engines == {}


def test_a_request_wakes_it() -> None:
    """A request for a sleeping engine wakes it, however many ask, and its load keeps the time of its start."""
    stage = asleep()

    assert stage.ask(2, SLEEPER, at_s=100) == ["wake sleeper"]
    assert stage.ask(3, SLEEPER) == []
    assert stage.woke(SLEEPER, 101) == ["grant 2", "grant 3"]
    assert stage.scheduler.engines[SLEEPER.model_id].load_s == 1.0


def test_a_request_while_it_falls_asleep_waits_and_wakes_it() -> None:
    """Who asks while an engine falls asleep waits until it sleeps, and then it is woken; who leaves ends nothing."""
    stage = Stage(ONE)
    stage.load(1, SLEEPER)
    stage.tick(60)

    assert [stage.ask(2, SLEEPER), stage.ask(3, SLEEPER), stage.done(3)] == [[], [], []]
    assert stage.slept(SLEEPER) == ["wake sleeper"]


def test_a_sleeping_engine_gives_its_slot_and_its_card() -> None:
    """A model that needs the room of an idle engine puts that to sleep, and starts once it sleeps."""
    stage = Stage(ONE)
    stage.load(1, SLEEPER)

    assert stage.ask(2, OTHER, at_s=1) == ["sleep sleeper"]
    assert stage.slept(SLEEPER) == ["start other"]


def test_waking_needs_room_as_a_start_does() -> None:
    """A sleeping engine waits for the room that another has taken, which goes for it once it is idle."""
    stage = asleep()
    assert stage.ask(2, OTHER) == ["start other"]
    assert stage.started(OTHER) == ["grant 2"]

    assert stage.ask(3, SLEEPER) == []
    assert stage.done(2) == ["stop other"]
    assert stage.stopped(OTHER) == ["wake sleeper"]


def test_a_sleeping_engine_goes_for_the_memory_of_the_machine() -> None:
    """A model that needs the machine's own memory has a sleeping engine stopped that holds it."""
    stage = asleep()
    stage.memory = DeviceMemory(GB // 2, 10 * GB)

    assert stage.ask(2, A) == ["stop sleeper"]


def test_without_memory_for_its_weights_it_is_stopped() -> None:
    """An engine doesn't sleep where the machine's memory can't take its weights: it is stopped."""
    stage = Stage(ONE)
    stage.load(1, SLEEPER)
    stage.memory = DeviceMemory(GB // 2, 10 * GB)

    assert stage.tick(60) == ["stop sleeper"]


def test_unknown_memory_lets_it_sleep() -> None:
    """Where nobody can tell how much memory there is, an engine sleeps."""
    stage = Stage(ONE)
    stage.load(1, SLEEPER)
    stage.scheduler.handle(Tick(), 60)
    stage.scheduler.handle(Measured({}), 60)

    assert state(stage) is EngineState.DRAINING


@pytest.mark.parametrize("keep_alive_s", [0.0, None], ids=["at once", "an update"])
def test_what_is_to_go_at_once_is_stopped(keep_alive_s: float | None) -> None:
    """An engine that nobody wants to stay, or whose model is another by now, is stopped and doesn't sleep."""
    stage = Stage(ONE)
    stage.serve(1, SLEEPER)
    if keep_alive_s is None:
        stage.tell(Seen(replace(SLEEPER, version="new")))
    else:
        stage.ask(2, SLEEPER, keep_alive_s=keep_alive_s)
        stage.done(2)

    assert stage.done(1) == ["stop sleeper"]


def test_an_update_ends_a_sleeping_engine() -> None:
    """A sleeping engine whose model was updated is stopped when that is seen, and the next request starts it anew."""
    stage, new = asleep(), replace(SLEEPER, version="new")

    assert stage.ask(2, new) == ["stop sleeper"]
    assert stage.stopped(SLEEPER) == ["start sleeper"]


def test_one_that_does_not_wake_is_started_anew() -> None:
    """Who waits for an engine that dies as it wakes waits for its next start, and isn't refused."""
    stage = asleep()
    stage.ask(2, SLEEPER)

    assert stage.died(SLEEPER) == ["start sleeper"]
    assert stage.woke(SLEEPER) == []
    assert stage.started(SLEEPER) == ["grant 2"]


def test_one_that_does_not_fall_asleep_is_told_as_failed() -> None:
    """An engine that dies as it falls asleep has failed, and the next request starts it."""
    stage = Stage(ONE)
    stage.load(1, SLEEPER)
    stage.tick(60)

    assert stage.died(SLEEPER) == []
    assert [stage.slept(SLEEPER), state(stage)] == [[], EngineState.FAILED]
    assert stage.ask(2, SLEEPER) == ["start sleeper"]


def test_one_that_dies_asleep_is_started_by_the_next_request() -> None:
    """An engine that dies while it sleeps has failed with its last words, and the next request starts it."""
    stage = asleep()

    assert stage.died(SLEEPER) == []
    assert state(stage) is EngineState.FAILED
    assert stage.ask(2, SLEEPER) == ["start sleeper"]


@pytest.mark.parametrize("falling", [True, False], ids=["falling asleep", "asleep"])
def test_a_person_unloads_it(falling: bool) -> None:
    """An engine that sleeps, or falls asleep, is stopped by a person who unloads it."""
    stage = Stage(ONE)
    stage.load(1, SLEEPER)
    stage.tick(60)
    if not falling:
        stage.slept(SLEEPER)

    assert stage.unload(SLEEPER) == ["stop sleeper"]
    assert [stage.slept(SLEEPER), stage.woke(SLEEPER), stage.stopped(SLEEPER)] == [[], [], []]


def test_it_ends_with_the_process() -> None:
    """A sleeping engine is stopped when the process ends."""
    assert asleep().tell(Close()) == ["stop sleeper"]
