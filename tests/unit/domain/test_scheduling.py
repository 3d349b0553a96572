"""Who starts, who waits, who is granted, who goes and who is refused: each event with its effects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.scheduling import Scheduler
from modelshelf.domain.scheduling_events import (
    Asked,
    Close,
    Died,
    Done,
    Measure,
    Measured,
    Reached,
    Refuse,
    Seen,
    Start,
    Started,
    StartFailed,
    Stopped,
    Tick,
    Unload,
)
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.serving import DeviceMemory, EngineState
from modelshelf.errors import Conflict, EngineFailed, Unavailable
from tests.fakes.engines import GB
from tests.unit.domain.stage import EMBED, A, B, C, Stage, with_slots

ONE = Rules(max_loaded=1)


# ---- granting


def test_the_first_request_starts_its_model() -> None:
    """A model that nobody served starts for the first who asks, who is granted once it is ready."""
    stage = Stage()
    assert stage.ask(1, A) == ["start a"]
    assert stage.started(A) == ["grant 1"]


def test_a_start_that_ends_while_it_is_stopped_grants_nothing() -> None:
    """An engine that is ready in the moment in which it is unloaded is granted to nobody."""
    stage = Stage()
    stage.ask(1, A)
    assert "stop a" in stage.tell(Unload(A.model_id))
    assert stage.tell(Started(A.model_id, 1.0)) == []
    assert stage.scheduler.engines[A.model_id].state is EngineState.DRAINING


def test_a_model_may_fail_as_often_as_it_likes() -> None:
    """The pause behind a failure stays at its longest, after thousands of them too."""
    stage = Stage()
    stage.ask(1, A)
    stage.tell(StartFailed(A.model_id, EngineFailed("no"), out_of_memory=False))
    stage.scheduler.engines[A.model_id].failures = 5000
    stage.scheduler.engines[A.model_id].fail(EngineFailed("no"), 10.0)
    assert stage.scheduler.engines[A.model_id].not_before_s == 310.0


def test_all_who_wait_share_one_start() -> None:
    """However many ask while a model starts, it starts once, and all are granted in their order."""
    stage = Stage()
    assert stage.ask(1, A) == ["start a"]
    assert [stage.ask(2, A), stage.ask(3, A)] == [[], []]
    assert stage.started(A) == ["grant 1", "grant 2", "grant 3"]


def test_a_ready_model_with_a_free_slot_grants_at_once() -> None:
    """A request for a ready model goes on at once, and nothing is measured for it."""
    stage = Stage()
    stage.serve(1, A)
    assert stage.ask(2, A) == ["grant 2"]


def test_behind_full_slots_the_first_comes_first() -> None:
    """A request waits behind the engine's slots, and gets the next that is free."""
    stage, one = Stage(), with_slots(A, 1)
    stage.serve(1, one)
    assert [stage.ask(2, one), stage.ask(3, one)] == [[], []]
    assert stage.done(1) == ["grant 2"]
    assert stage.done(2) == ["grant 3"]


def test_a_queue_is_fair_between_keys() -> None:
    """Of two keys the one that is answered less comes next, whoever asked first."""
    stage, two = Stage(), with_slots(A, 2)
    stage.ask(1, two, key="many")
    stage.started(two)
    for ticket in (2, 3, 4):
        stage.ask(ticket, two, key="many")
    assert stage.ask(5, two, key="few") == []
    assert stage.done(1) == ["grant 5"]


def test_a_full_queue_refuses_the_newest_of_who_has_most() -> None:
    """A queue that is full lets in a key that has fewer requests in it, and refuses the newest of the one with most."""
    stage, one = Stage(Rules(queue_limit=2)), with_slots(A, 1)
    stage.serve(1, one)
    assert [stage.ask(2, one, key="many"), stage.ask(3, one, key="many")] == [[], []]
    assert stage.ask(4, one, key="many") == ["refuse 4: TooMany"]
    assert stage.ask(5, one, key="few") == ["refuse 3: TooMany"]
    assert "2 requests wait for a" in stage.refusals[3].detail
    assert stage.done(1) == ["grant 2"]


def test_an_ended_ticket_is_not_heard_twice() -> None:
    """A request that ends twice, or was never there, changes nothing."""
    stage, one = Stage(), with_slots(A, 1)
    stage.serve(1, one)
    stage.ask(2, one)
    assert stage.done(1) == ["grant 2"]
    assert [stage.done(1), stage.done(99)] == [[], []]


# ---- leaving


def test_who_leaves_before_the_start_takes_the_wish_along() -> None:
    """A model whose only client left while it waited for room never starts."""
    stage = Stage(ONE)
    stage.serve(1, A)
    assert stage.ask(2, B) == []
    assert stage.done(2) == []
    assert stage.done(1) == []
    assert [engine.wanted for engine in stage.scheduler.engines.values()] == [A]


def test_a_start_that_began_goes_on() -> None:
    """A model whose clients all left while it starts becomes ready, and stays as long as an idle one."""
    stage = Stage(Rules(keep_alive_s=60))
    stage.ask(1, A)
    assert stage.done(1) == []
    assert stage.started(A, at_s=5) == []
    assert stage.scheduler.due_s(5) == 65
    assert stage.tick(65) == ["stop a"]


# ---- room


def test_each_kind_has_slots_of_its_own() -> None:
    """An embedding model starts beside the chat model that fills the only slot of its kind."""
    stage = Stage(ONE)
    stage.serve(1, A)
    assert stage.ask(2, EMBED) == ["start embed"]


def test_the_least_valuable_idle_engine_goes() -> None:
    """Of two idle engines the one goes whose idle time is longest against the time that its load takes."""
    stage = Stage(Rules(max_loaded=2))
    stage.load(1, A, at_s=0, load_s=100)
    stage.load(2, B, at_s=10, load_s=1)
    assert stage.ask(3, C, at_s=20) == ["stop b"]
    assert stage.stopped(B) == ["start c"]


def test_one_that_goes_makes_room_once() -> None:
    """While an engine goes for a model, nobody else goes for it."""
    stage = Stage(Rules(max_loaded=2))
    stage.load(1, A)
    stage.load(2, B)
    assert stage.ask(3, C, at_s=20) == ["stop a"]
    assert stage.tick(21) == []


def test_a_busy_engine_is_waited_for() -> None:
    """A model waits for the room of a busy one, which goes as soon as it is idle."""
    stage = Stage(ONE)
    stage.serve(1, A)
    assert stage.ask(2, B) == []
    assert stage.done(1) == ["stop a"]
    assert stage.stopped(A) == ["start b"]


def test_a_starting_engine_is_waited_for() -> None:
    """A model waits for the room of one that starts."""
    stage = Stage(ONE)
    stage.ask(1, A)
    assert stage.ask(2, B) == []
    assert stage.started(A) == ["grant 1"]
    assert stage.done(1) == ["stop a"]


def test_a_busy_engine_drains_after_its_turn() -> None:
    """An engine that others wait for goes on granting for a while; then it ends what it has, and goes."""
    stage = Stage(Rules(max_loaded=1, fair_s=10))
    stage.serve(1, A, at_s=0)
    assert stage.ask(2, B, at_s=1) == []
    assert stage.ask(3, A, at_s=5) == ["grant 3"]
    assert stage.scheduler.due_s(5) == 10
    assert stage.tick(10) == []
    assert stage.scheduler.due_s(10) == 11
    assert stage.tick(11) == []
    assert stage.ask(4, A, at_s=12) == []
    assert [stage.done(1), stage.done(3)] == [[], ["stop a"]]
    assert stage.stopped(A) == ["start b"]


def test_nobody_swaps_at_every_request() -> None:
    """A model that had to drain waits for its room again behind the one it went for, which has its turn too."""
    stage = Stage(Rules(max_loaded=1, fair_s=10))
    stage.serve(1, A, at_s=0)
    stage.ask(2, B, at_s=1)
    stage.tick(11)
    stage.ask(3, A, at_s=12)
    stage.done(1)
    assert stage.stopped(A, at_s=13) == ["start b"]
    assert stage.started(B, at_s=14) == ["grant 2"]
    assert stage.tick(23) == []
    assert stage.tick(24) == []
    assert stage.ask(4, B) == []
    assert stage.done(2) == ["stop b"]
    assert stage.stopped(B, at_s=25) == ["start a"]


def test_who_waits_longer_has_the_first_claim() -> None:
    """A small model doesn't take the memory that a larger one waits for."""
    stage = Stage(memory=DeviceMemory(10 * GB, 10 * GB))
    stage.serve(1, replace(A, needs_bytes=6 * GB))
    stage.memory = DeviceMemory(4 * GB, 10 * GB)
    assert stage.ask(2, replace(B, needs_bytes=8 * GB)) == []
    assert stage.ask(3, replace(C, needs_bytes=3 * GB), at_s=1) == []
    assert stage.done(1) == ["stop a"]
    stage.memory = DeviceMemory(10 * GB, 10 * GB)
    assert stage.stopped(A) == ["start b"]


def test_what_starting_engines_will_take_is_promised() -> None:
    """Two models that don't fit together don't start together, though the memory is free at both times."""
    stage = Stage(memory=DeviceMemory(10 * GB, 10 * GB))
    assert stage.ask(1, replace(A, needs_bytes=6 * GB)) == ["start a"]
    assert stage.ask(2, replace(B, needs_bytes=6 * GB)) == []


def test_what_is_larger_than_the_machine_is_refused() -> None:
    """A model that needs more memory than there is gets no start, and both numbers."""
    stage = Stage(memory=DeviceMemory(4 * GB, 8 * GB))
    assert stage.ask(1, replace(A, needs_bytes=9 * GB)) == ["refuse 1: EngineFailed"]
    assert stage.refusals[1].detail == "a needs 9.0 GB of memory, and this machine has 8.0 GB."
    assert stage.scheduler.engines[1].state is EngineState.FAILED


def test_what_other_programs_hold_is_not_waited_for() -> None:
    """A model is refused where even without our engines too little memory is free, and nobody goes in vain."""
    stage = Stage(memory=DeviceMemory(8 * GB, 8 * GB))
    stage.load(1, A)
    stage.memory = DeviceMemory(1 * GB, 8 * GB)
    assert stage.ask(2, replace(B, needs_bytes=5 * GB)) == ["refuse 2: EngineFailed"]
    assert "other programs leave 1.0 GB of 8.0 GB" in stage.refusals[2].detail
    stage.memory = DeviceMemory(7 * GB, 8 * GB)
    assert stage.ask(3, replace(B, needs_bytes=5 * GB)) == ["start b"]


def test_a_device_that_nobody_knows_keeps_nobody_out() -> None:
    """A model for a device whose memory can't be told starts."""
    assert Stage().ask(1, replace(A, device="cuda:7", needs_bytes=900 * GB)) == ["start a"]


def test_a_pinned_engine_gives_no_room() -> None:
    """Where only pinned models could go, a request is refused, with the command that unloads one."""
    stage = Stage(ONE)
    stage.ask(1, A, pin=True)
    stage.started(A)
    stage.done(1)
    assert stage.scheduler.due_s(0) is None
    assert stage.ask(2, B, at_s=9999) == ["refuse 2: Unavailable"]
    assert stage.refusals[2].hint == "shelf unload a"
    assert stage.unload(A) == ["stop a"]
    assert stage.ask(3, B) == []
    assert stage.stopped(A) == ["start b"]


def test_memory_is_measured_again_when_an_engine_went_meanwhile() -> None:
    """Figures from before an engine went decide nothing."""
    scheduler = Scheduler(ONE)
    assert scheduler.handle(Asked(1, A), 0) == [Measure()]
    assert scheduler.handle(Measured({}), 0) == [Start(A)]
    assert scheduler.handle(Asked(2, B), 0) == [Measure()]
    refusal = Conflict("Its files aren't complete.")
    assert scheduler.handle(StartFailed(1, refusal), 0) == [Refuse(1, refusal)]
    assert scheduler.handle(Measured({"": DeviceMemory(0, 9 * GB)}), 0) == [Measure()]
    assert scheduler.handle(Measured({"": DeviceMemory(9 * GB, 9 * GB)}), 0) == [Start(B)]


# ---- failing


def test_all_who_wait_for_a_failed_start_hear_why() -> None:
    """A start that fails refuses all who wait for it, with its last words and when to ask again."""
    stage = Stage()
    stage.ask(1, A)
    stage.ask(2, A)
    assert stage.start_failed(A) == ["refuse 1: EngineFailed", "refuse 2: EngineFailed"]
    error = stage.refusals[2]
    assert isinstance(error, EngineFailed)
    assert (error.tail, error.retry_after_s) == (("last words",), 2.0)


def test_a_failure_is_the_answer_for_a_while() -> None:
    """A model that failed is tried again after 2 s, then 4 s, up to 5 min."""
    stage, now_s = Stage(), 0.0
    for backoff_s in (2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        assert stage.ask(1, A, at_s=now_s) == ["start a"]
        stage.start_failed(A)
        now_s += backoff_s
        assert stage.ask(2, A, at_s=now_s - 0.5) == ["refuse 2: EngineFailed"]


def test_a_person_tries_at_once() -> None:
    """A person who loads a model that failed a moment ago gets a new start."""
    stage = Stage()
    stage.ask(1, A)
    stage.start_failed(A)
    assert stage.ask(2, A, by_hand=True) == ["start a"]


def test_an_update_voids_a_failure() -> None:
    """A model that failed and was changed since starts at once."""
    stage = Stage()
    stage.ask(1, A)
    stage.start_failed(A)
    assert stage.tell(Seen(replace(A, version="new"))) == []
    assert stage.scheduler.engines == {}
    assert stage.ask(2, replace(A, version="new")) == ["start a"]


def test_what_people_mend_has_no_backoff() -> None:
    """A start that found a lease or a missing file in its way is tried again for the next who asks."""
    stage = Stage()
    stage.ask(1, A)
    assert stage.tell(StartFailed(A.model_id, Conflict("It isn't complete."))) == ["refuse 1: Conflict"]
    assert stage.ask(2, A) == ["start a"]


def test_out_of_memory_unloads_the_idle_and_tries_once_more() -> None:
    """A start that ran out of memory empties all idle engines, waits until they are gone, and is tried once more."""
    stage = Stage()
    stage.load(1, B)
    stage.load(2, EMBED)
    stage.ask(3, A)
    assert stage.start_failed(A, out_of_memory=True) == ["stop b", "stop embed"]
    assert stage.stopped(B) == []
    assert stage.stopped(EMBED) == ["start a"]
    assert stage.start_failed(A, out_of_memory=True) == ["refuse 3: EngineFailed"]


def test_out_of_memory_with_nobody_idle_fails() -> None:
    """A start that ran out of memory fails at once where nothing can be unloaded."""
    stage = Stage()
    stage.serve(1, B)
    stage.ask(2, A)
    assert stage.start_failed(A, out_of_memory=True) == ["refuse 2: EngineFailed"]


def test_the_queue_of_a_dead_engine_gets_its_last_words() -> None:
    """An engine that dies takes its answers along, refuses who waits, and starts anew for the next."""
    stage, one = Stage(), with_slots(A, 1)
    stage.serve(1, one)
    stage.ask(2, one)
    assert stage.died(one) == ["refuse 2: EngineFailed"]
    assert stage.done(1) == []
    assert stage.ask(3, one) == ["start a"]


def test_an_engine_that_dies_while_it_drains_is_gone() -> None:
    """Who waits for the start after an engine that drains gets it also when that dies."""
    stage = Stage()
    stage.serve(1, A)
    assert stage.unload(A) == []
    assert stage.ask(2, A) == []
    assert stage.died(A) == ["start a"]


# ---- going


@pytest.mark.parametrize(
    ("setting_s", "model_s", "request_s", "leaves_s"),
    [(60, None, None, 60), (60, 30, None, 30), (60, 30, 10, 10), (60, 30, -1, None), (-1, None, None, None)],
    ids=["setting", "model", "request", "request-for-ever", "setting-for-ever"],
)
def test_the_narrowest_wish_decides_when_it_goes(
    setting_s: float, model_s: float | None, request_s: float | None, leaves_s: float | None
) -> None:
    """An idle engine stays as long as the request says, else the model, else the setting; below 0 for ever."""
    stage = Stage(Rules(keep_alive_s=setting_s))
    stage.ask(1, replace(A, keep_alive_s=model_s), keep_alive_s=request_s)
    stage.started(A)
    stage.done(1)
    assert stage.scheduler.due_s(0) == leaves_s


def test_a_keep_alive_of_0_unloads_after_the_answer() -> None:
    """A model whose last request wants it gone goes when it has answered."""
    stage = Stage()
    stage.serve(1, A)
    stage.ask(2, A, keep_alive_s=0)
    assert stage.done(2) == []
    assert stage.done(1) == ["stop a"]


def test_an_idle_engine_that_is_asked_stays() -> None:
    """A request that comes in time starts the idle time anew."""
    stage = Stage(Rules(keep_alive_s=60))
    stage.load(1, A)
    stage.ask(2, A, at_s=59)
    assert stage.tick(70) == []
    stage.done(2, at_s=80)
    assert stage.scheduler.due_s(80) == 140


def test_unloading_waits_for_the_answers() -> None:
    """An unloaded model ends what it has, grants nothing more, and starts again for those who wait."""
    stage = Stage()
    stage.serve(1, A)
    assert stage.unload(A) == []
    assert stage.ask(2, A) == []
    assert stage.done(1) == ["stop a"]
    assert stage.unload(A) == []
    assert stage.stopped(A) == ["start a"]


def test_unloading_ends_a_start() -> None:
    """A model that is unloaded while it starts is stopped, and who waits is refused."""
    stage = Stage()
    stage.ask(1, A)
    assert stage.unload(A) == ["refuse 1: Unavailable", "stop a"]
    assert stage.tell(Reached(1, EngineState.STARTING)) == []
    assert stage.stopped(A) == []
    assert stage.scheduler.engines == {}


def test_unloading_forgets_a_failure() -> None:
    """A model that failed and is unloaded isn't shown any more, and starts at once."""
    stage = Stage()
    stage.ask(1, A)
    stage.start_failed(A)
    assert stage.unload(A) == []
    assert stage.scheduler.engines == {}


def test_an_updated_model_goes_when_it_is_idle() -> None:
    """The engine of an older commit answers until it is idle, then goes; the next start takes the new commit."""
    stage, new = Stage(), replace(A, version="new")
    stage.serve(1, A)
    assert stage.ask(2, new) == ["grant 2"]
    assert stage.done(1) == []
    assert stage.done(2) == ["stop a"]
    assert stage.ask(3, new) == []
    assert stage.stopped(A) == ["start a"]
    assert stage.scheduler.engines[1].wanted == new


def test_an_idle_engine_of_an_updated_model_goes_at_once() -> None:
    """An idle engine goes as soon as it is seen that its model is another."""
    stage = Stage()
    stage.load(1, A)
    assert stage.tell(Seen(A)) == []
    assert stage.tell(Seen(replace(A, version="new"))) == ["stop a"]


def test_who_asks_for_an_updated_model_gets_the_new_one() -> None:
    """A request that finds an idle engine of an older commit ends it, and waits for the new one."""
    stage, new = Stage(), replace(A, version="new")
    stage.load(1, A)
    assert stage.ask(2, new) == ["stop a"]
    assert stage.stopped(A) == ["start a"]
    assert stage.started(A) == ["grant 2"]
    assert stage.scheduler.engines[1].wanted == new


def test_what_is_not_asked_for_is_not_seen() -> None:
    """News of a model that nobody asks for change nothing, and neither do those of an engine that isn't there."""
    stage = Stage()
    assert stage.tell(Seen(A)) == []
    assert stage.stopped(A) == []


def test_the_states_on_the_way_are_shown() -> None:
    """A start shows where it is; once it is ready, a late word of it changes nothing."""
    stage = Stage()
    stage.ask(1, A)
    stage.tell(Reached(1, EngineState.FETCHING))
    assert stage.scheduler.engines[1].state is EngineState.FETCHING
    stage.started(A)
    stage.tell(Reached(1, EngineState.STARTING))
    assert stage.scheduler.engines[1].state is EngineState.READY


def test_the_end_refuses_and_stops_all() -> None:
    """When the process ends, all engines are stopped, busy or not, all who wait are refused, and so is who comes."""
    stage = Stage(ONE)
    stage.serve(1, A)
    stage.ask(2, B)
    stage.unload(EMBED)
    assert stage.tell(Close()) == ["stop a", "refuse 2: Unavailable"]
    assert stage.ask(3, A) == ["refuse 3: Unavailable"]
    assert isinstance(stage.refusals[3], Unavailable)
    assert stage.stopped(A) == []
    assert stage.tell(Close()) == []


def test_the_end_stops_nothing_twice() -> None:
    """An engine that was told to stop isn't told again when the process ends, and an old word of a start is void."""
    stage = Stage()
    stage.load(1, A)
    assert stage.unload(A) == ["stop a"]
    assert stage.tell(Close()) == []
    assert stage.tell(Started(99, 1.0)) == []
    assert stage.tell(Died(99, EngineFailed("It died."))) == []
    assert [stage.tell(Stopped(1)), stage.tell(Done(1)), stage.tell(Unload(1)), stage.tell(Tick())] == [[], [], [], []]
