"""Random events against the scheduler: what must hold after each of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.scheduling import Scheduler
from modelshelf.domain.scheduling_events import (
    Asked,
    Close,
    Died,
    Done,
    Effect,
    Event,
    Grant,
    Measure,
    Measured,
    Reached,
    Refuse,
    Seen,
    Sleep,
    Slept,
    Start,
    Started,
    StartFailed,
    Stop,
    Stopped,
    Tick,
    Unload,
    Wake,
    Woke,
)
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.serving import DeviceMemory, EngineState
from modelshelf.errors import Conflict, EngineFailed
from tests.fakes.engines import GB, wanted

TOTAL_GB = 10
MODELS = [
    wanted("a", 1, needs_bytes=3 * GB, slots=1, asleep_bytes=2 * GB),
    wanted("b", 2, needs_bytes=6 * GB, slots=2),
    wanted("c", 3, needs_bytes=0, slots=3, keep_alive_s=0),
    wanted("huge", 4, needs_bytes=11 * GB),
    wanted("embed", 5, kind=EngineKind.EMBED, needs_bytes=2 * GB, slots=2, keep_alive_s=-1),
    wanted("embed-too", 6, kind=EngineKind.EMBED, needs_bytes=5 * GB, slots=1),
]


class SchedulerMachine(RuleBasedStateMachine):
    """Everybody whom the scheduler tells of: clients, engines, a person, and time."""

    @initialize(
        max_loaded=st.integers(1, 3),
        queue_limit=st.integers(1, 5),
        keep_alive_s=st.sampled_from([-1.0, 0.0, 5.0]),
        measures_at_once=st.booleans(),
    )
    def begin(self, max_loaded: int, queue_limit: int, keep_alive_s: float, measures_at_once: bool) -> None:
        """Make a scheduler."""
        self.measures_at_once = measures_at_once
        self.allowed = Rules(max_loaded, queue_limit, keep_alive_s, fair_s=3)
        self.scheduler = Scheduler(self.allowed)
        self.models = {model.model_id: model for model in MODELS}
        self.now_s, self.last_ticket, self.others_gb = 0.0, 0, 0
        self.waiting: dict[int, int] = {}
        self.granted: dict[int, int] = {}
        self.starting: set[int] = set()
        self.ready: set[int] = set()
        self.stopping: set[int] = set()
        self.dozing: set[int] = set()
        self.asleep: set[int] = set()
        self.waking: set[int] = set()
        self.pinned: set[int] = set()
        self.pinning: dict[int, int] = {}
        self.unloaded: set[int] = set()
        self.is_measuring = False
        self.is_closed = False

    def tell(self, event: Event) -> None:
        """Tell of an event, and do what is to be done."""
        for effect in self.scheduler.handle(event, self.now_s):
            self.carry_out(effect)
        if self.is_measuring and self.measures_at_once:
            self.measured()

    def carry_out(self, effect: Effect) -> None:
        """Check an effect, and note it."""
        match effect:
            case Start(model):
                assert model.model_id not in self.live, "one engine for each model"
                assert model.model_id in self.waiting.values(), "nobody waits for it"
                self.starting.add(model.model_id)
            case Stop(model_id):
                assert model_id in self.live - self.stopping, "there is nothing to stop"
                assert self.is_closed or model_id not in self.granted.values(), "a busy engine isn't stopped"
                is_old = self.scheduler.engines[model_id].is_old  # a pin holds no engine of an older model
                assert self.is_closed or is_old or model_id not in self.pinned, "a pinned engine isn't stopped"
                for known in (self.starting, self.ready, self.dozing, self.asleep, self.waking):
                    known.discard(model_id)
                self.stopping.add(model_id)
            case Sleep(model_id):
                assert model_id in self.ready, "only a ready engine sleeps"
                assert model_id not in self.granted.values(), "a busy engine doesn't sleep"
                assert model_id not in self.pinned, "a pinned engine doesn't sleep"
                self.ready.discard(model_id)
                self.dozing.add(model_id)
            case Wake(model_id):
                assert model_id in self.asleep, "only a sleeping engine wakes"
                assert model_id in self.waiting.values(), "nobody waits for it"
                self.asleep.discard(model_id)
                self.waking.add(model_id)
            case Grant(ticket):
                model_id = self.waiting.pop(ticket)
                assert model_id in self.ready, "only a ready engine answers"
                self.granted[ticket] = model_id
                if self.pinning.get(ticket):
                    self.pinned.add(model_id)
            case Refuse(ticket):
                self.waiting.pop(ticket)
            case Measure():
                assert not self.is_measuring, "one look at a time"
                self.is_measuring = True

    @property
    def live(self) -> set[int]:
        """The models that have an engine, or the start of one."""
        return self.awake | self.asleep

    @property
    def awake(self) -> set[int]:
        """The models whose engines hold a slot."""
        return self.starting | self.ready | self.stopping | self.dozing | self.waking

    @rule(
        model_id=st.integers(1, 6),
        key=st.sampled_from(["", "k", "l"]),
        keep_alive_s=st.sampled_from([None, None, -1.0, 0.0, 4.0]),
        pin=st.sampled_from([False] * 9 + [True]),
        by_hand=st.booleans(),
    )
    def ask(self, model_id: int, key: str, keep_alive_s: float | None, pin: bool, by_hand: bool) -> None:
        """A client asks for a model."""
        self.last_ticket += 1
        self.waiting[self.last_ticket] = model_id
        if pin:
            self.pinning[self.last_ticket] = model_id
        self.tell(Asked(self.last_ticket, self.models[model_id], key, keep_alive_s, pin, by_hand))

    @precondition(lambda self: self.waiting or self.granted)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        """A request ends, or its client leaves."""
        ticket = data.draw(st.sampled_from(sorted(self.waiting | self.granted)))
        self.waiting.pop(ticket, None)
        self.granted.pop(ticket, None)
        self.tell(Done(ticket))

    @precondition(lambda self: self.is_measuring)
    @rule()
    def measured(self) -> None:
        """Somebody has looked at the memory."""
        self.is_measuring = False
        held = sum(self.models[model_id].needs_bytes for model_id in self.ready | self.stopping | self.dozing)
        held += sum(self.models[model_id].asleep_bytes for model_id in self.asleep)
        free = max(0, (TOTAL_GB - self.others_gb) * GB - held)
        self.tell(Measured({"": DeviceMemory(free, TOTAL_GB * GB)}))

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), outcome=st.sampled_from(["started", "started", "failed", "memory", "conflict", "fetching"]))
    def start_ends(self, data: st.DataObject, outcome: str) -> None:
        """A start gets on, or ends."""
        model_id = data.draw(st.sampled_from(sorted(self.starting)))
        if outcome == "fetching":
            self.tell(Reached(model_id, EngineState.FETCHING))
            return
        self.starting.discard(model_id)
        if outcome == "started":
            self.ready.add(model_id)
            self.tell(Started(model_id, 1.0))
            return
        error = Conflict("No.") if outcome == "conflict" else EngineFailed("It crashed.")
        self.tell(StartFailed(model_id, error, out_of_memory=outcome == "memory"))

    @precondition(lambda self: self.dozing | self.waking)
    @rule(data=st.data())
    def turns(self, data: st.DataObject) -> None:
        """An engine has fallen asleep, or woken."""
        self.turn(data.draw(st.sampled_from(sorted(self.dozing | self.waking))))

    def turn(self, model_id: int) -> None:
        """Let an engine have done what it was asked to."""
        if model_id in self.dozing:
            self.dozing.discard(model_id)
            self.asleep.add(model_id)
            self.tell(Slept(model_id))
        else:
            self.waking.discard(model_id)
            self.ready.add(model_id)
            self.tell(Woke(model_id))

    @precondition(lambda self: self.ready | self.dozing | self.asleep | self.waking)
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        """An engine dies."""
        model_id = data.draw(st.sampled_from(sorted(self.ready | self.dozing | self.asleep | self.waking)))
        for known in (self.ready, self.dozing, self.asleep, self.waking):
            known.discard(model_id)
        self.end(model_id)
        self.tell(Died(model_id, EngineFailed("It died.")))

    @precondition(lambda self: self.stopping)
    @rule(data=st.data())
    def stops(self, data: st.DataObject) -> None:
        """An engine that was told to stop is gone."""
        model_id = data.draw(st.sampled_from(sorted(self.stopping)))
        self.stopping.discard(model_id)
        self.end(model_id)
        self.tell(Stopped(model_id))

    def end(self, model_id: int) -> None:
        """Note that an engine is gone, and the answers that it gave."""
        self.pinned.discard(model_id)
        self.granted = {ticket: of for ticket, of in self.granted.items() if of != model_id}

    @rule(model_id=st.integers(1, 6))
    def unload(self, model_id: int) -> None:
        """A person unloads a model."""
        self.pinned.discard(model_id)
        self.tell(Unload(model_id))

    @rule(model_id=st.integers(1, 6), version=st.sampled_from(["", "new"]))
    def update(self, model_id: int, version: str) -> None:
        """A model is updated, and that is seen."""
        self.models[model_id] = replace(self.models[model_id], version=version)
        self.pinned.discard(model_id)
        self.tell(Seen(self.models[model_id]))

    @rule(others_gb=st.integers(0, 9))
    def other_programs(self, others_gb: int) -> None:
        """Other programs take or leave memory."""
        self.others_gb = others_gb

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        """Time passes, with a tick whenever the scheduler wants one."""
        end_s = self.now_s + seconds
        while (due_s := self.scheduler.due_s(self.now_s)) is not None and due_s <= end_s:
            assert due_s > self.now_s, "a tick that wants a tick would never end"
            self.now_s = due_s
            self.tell(Tick())
        self.now_s = end_s

    @rule(really=st.sampled_from([False] * 19 + [True]))
    def close(self, really: bool) -> None:
        """The process ends, seldom."""
        if not really:
            return
        self.is_closed = True
        self.tell(Close())
        assert not self.waiting
        assert not self.live - self.stopping

    @invariant()
    def never_too_many(self) -> None:
        """There are never more engines of a kind than may be, and none answers more than its slots."""
        kinds = [self.models[model_id].kind for model_id in self.awake]
        for kind in EngineKind:
            assert kinds.count(kind) <= self.allowed.max_loaded
        for model_id in self.ready:
            assert list(self.granted.values()).count(model_id) <= self.models[model_id].slots

    @invariant()
    def queues_are_bounded(self) -> None:
        """No more requests wait for a model than may."""
        for model_id in self.models:
            assert list(self.waiting.values()).count(model_id) <= self.allowed.queue_limit

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """Who waits, waits for memory to be measured, for an engine that starts or stops, or for one that is busy."""
        busy = {model_id for model_id in self.ready if model_id in self.granted.values()}
        if self.waiting:
            assert self.is_measuring or self.starting or self.stopping or self.dozing or self.waking or busy

    @invariant()
    def what_it_knows_is_so(self) -> None:
        """The scheduler's books are those of the world, and it keeps none on models that nobody needs."""
        engines = self.scheduler.engines
        assert {ticket: i for i, engine in engines.items() for ticket in engine.granted} == self.granted
        assert {asked.ticket: i for i, engine in engines.items() for asked in engine.queue.asked} == self.waiting
        assert {i for i, engine in engines.items() if engine.is_live} == self.live
        assert not [engine for engine in engines.values() if engine.is_forgotten]

    def teardown(self) -> None:
        """Once engines do what they should, everybody is answered or refused."""
        if not hasattr(self, "scheduler"):
            return
        for _ in range(500):
            self.answer_all()
            if not self.waiting:
                break
        assert not self.waiting, "somebody waits for ever"

    def answer_all(self) -> None:
        """Let everything that is under way end well, and some time pass."""
        if self.is_measuring:
            self.measured()
        for model_id in sorted(self.stopping):
            self.stopping.discard(model_id)
            self.end(model_id)
            self.tell(Stopped(model_id))
        for model_id in sorted(self.dozing | self.waking):
            self.turn(model_id)
        for model_id in sorted(self.starting):
            self.starting.discard(model_id)
            self.ready.add(model_id)
            self.tell(Started(model_id, 1.0))
        for ticket in sorted(self.granted):
            if self.granted.pop(ticket, None) is not None:
                self.tell(Done(ticket))
        self.time_passes(1.0)


SchedulerMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestScheduler = SchedulerMachine.TestCase
