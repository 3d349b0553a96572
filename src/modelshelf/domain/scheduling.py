"""Who starts, who waits, who is granted, who goes and who is refused.

The scheduler has no clock, process, lock or log: it is told of events with the time, and returns what is to be done.
Room is given on `Measured` alone, a moment after somebody looked how much memory is free. `services/serving/design.md`
has the rules by number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelshelf.domain.scheduling_engine import Engine
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
    OfEngine,
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
    Wake,
    Woke,
)
from modelshelf.domain.scheduling_queue import FairQueue
from modelshelf.domain.scheduling_room import Room, RoomPlan
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.serving import DeviceMemory, EngineState, Wanted
from modelshelf.errors import EngineFailed, ShelfError, TooMany, Unavailable
from modelshelf.units import format_size, many


class Scheduler:
    """The state of all models that are asked for or served; each method but `handle` only looks."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.engines: dict[int, Engine] = {}
        """By the ids of their models; for reading."""
        self._tickets: dict[int, int] = {}
        """The model of each request that waits or is answered."""
        self._now_s = 0.0
        self._effects: list[Effect] = []
        self._is_measuring = False
        self._is_outdated = False
        """Whether an engine came or went since the memory was measured."""
        self._is_closed = False

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """Take an event in, and return what is to be done, in this order.

        Args:
            event: What happened.
            now_s: The time, on a clock that never goes back.
        """
        self._now_s, self._effects = now_s, []
        match event:
            case Asked():
                self._on_asked(event)
            case Done(ticket):
                self._on_done(ticket)
            case Measured(memory):
                self._on_measured(memory)
            case Seen(wanted):
                self._on_seen(wanted)
            case Tick():
                self._measure_if_wanted()
            case Close():
                self._on_close()
            case _:
                self._on_engine(event)
        self._let_idle_go()
        return self._effects

    def due_s(self, now_s: float) -> float | None:
        """Return when to send the next `Tick`; None as long as nothing hangs on time."""
        times = [at_s for engine in self.engines.values() if (at_s := engine.leaves_at_s) is not None]
        waiting = [engine for engine in self.engines.values() if engine.wants_start]
        if waiting:
            turns = [engine.ready_since_s for engine in self.engines.values() if engine.state is EngineState.READY]
            since = [engine.waits_since_s for engine in waiting]
            times += [at + self.rules.fair_s for at in turns + since]
        return min((time_s for time_s in times if time_s > now_s), default=None)

    def _on_asked(self, asked: Asked) -> None:
        if self._is_closed:
            self._refuse(asked, Unavailable("The server stops.", retry_after_s=5))
            return
        engine = self.engines.get(asked.wanted.model_id)
        if engine is None:
            engine = Engine(asked.wanted, self.rules, FairQueue(self.rules.queue_limit), asked.wanted)
            self.engines[asked.wanted.model_id] = engine
        engine.see(asked.wanted)
        if engine.is_old and engine.is_unused:
            self._stop(engine)
        if asked.by_hand:
            engine.forgive()
        if (failure := engine.failure(self._now_s)) is not None:
            self._refuse(asked, failure)
            return
        if not engine.queue and (not engine.is_live or engine.state is EngineState.ASLEEP):
            engine.waits_since_s = self._now_s
        self._tickets[asked.ticket] = asked.wanted.model_id
        if (extra := engine.queue.add(asked)) is not None:
            self._refuse(extra, _too_many(engine))
        self._grant_waiting(engine)
        self._measure_if_wanted()

    def _on_done(self, ticket: int) -> None:
        if (model_id := self._tickets.pop(ticket, None)) is None:
            return
        engine = self.engines[model_id]
        engine.queue.drop(ticket)
        if engine.granted.pop(ticket, None) is not None and not engine.granted:
            engine.idle_since_s = self._now_s
        self._grant_waiting(engine)
        if engine.state is EngineState.DRAINING:
            self._stop_drained(engine)
        elif engine.is_idle:
            self._measure_if_wanted()
        self._forget(engine)

    def _on_engine(self, event: OfEngine) -> None:
        """Take in what happened to an engine; ignore engines that were forgotten meanwhile."""
        engine = self.engines.get(event.model_id)
        if engine is None:
            return
        match event:
            case Reached(state=state):
                if not engine.is_stopping and engine.is_live and engine.state is not EngineState.READY:
                    engine.state = state
                return
            case Started() | Slept() | Woke():
                self._on_done_as_asked(engine, event)
            case StartFailed(error=error, out_of_memory=out_of_memory):
                self._on_start_failed(engine, error, out_of_memory=out_of_memory)
            case Died(error=error):
                self._on_died(engine, error)
            case Stopped():
                self._drop_granted(engine)
                engine.end(EngineState.STOPPED, self._now_s)
            case _:
                self._unload(engine)
        self._is_outdated = True
        self._measure_if_wanted()
        self._forget(engine)

    def _on_done_as_asked(self, engine: Engine, event: Started | Slept | Woke) -> None:
        """Take in that an engine started, fell asleep or woke; nothing of one that is ended, or died as it did."""
        match event:
            case _ if engine.is_stopping:
                return
            case Started(load_s=load_s):
                engine.become_ready(self._now_s, load_s)
            case Woke() if engine.is_waking:
                engine.become_ready(self._now_s, engine.load_s)
            case Slept() if engine.is_falling_asleep:
                engine.become_asleep(self._now_s)
        self._grant_waiting(engine)

    def _on_seen(self, wanted: Wanted) -> None:
        if (engine := self.engines.get(wanted.model_id)) is not None:
            engine.see(wanted)
            self._forget(engine)

    def _on_start_failed(self, engine: Engine, error: ShelfError, *, out_of_memory: bool) -> None:
        idle = [other for other in self.engines.values() if other.is_unused and not other.pinned]
        if out_of_memory and idle and engine.queue and not engine.emptied_for_it:
            for other in idle:
                self._stop(other)
            engine.end(EngineState.COLD, self._now_s)
            engine.emptied_for_it = True
            return
        engine.fail(error, self._now_s)
        self._refuse_waiting(engine, engine.failure(self._now_s) or error)

    def _on_died(self, engine: Engine, error: ShelfError) -> None:
        """Refuse the waiting requests with its last words, unless they waited for the next start anyway."""
        self._drop_granted(engine)
        waits_for_next = engine.state in (EngineState.DRAINING, EngineState.ASLEEP) or engine.is_waking
        if not waits_for_next:
            self._refuse_waiting(engine, error)
        engine.end(EngineState.FAILED, self._now_s)
        engine.error = error

    def _unload(self, engine: Engine) -> None:
        """End an engine once it has answered; who waits for it then waits for the next start, but not its own."""
        engine.forgive()
        engine.pinned = False
        if engine.state is EngineState.READY:
            engine.state = EngineState.DRAINING
            self._stop_drained(engine)
        elif engine.is_falling_asleep:
            self._stop(engine)
        elif engine.is_live and engine.state is not EngineState.DRAINING:
            self._refuse_waiting(engine, Unavailable(f"{engine.wanted.model_name} was unloaded before it was ready."))
            self._stop(engine)

    def _on_close(self) -> None:
        self._is_closed = True
        for engine in list(self.engines.values()):
            self._refuse_waiting(engine, Unavailable("The server stops.", retry_after_s=5))
            if engine.is_live and not engine.is_stopping:
                self._stop(engine)
            self._forget(engine)

    def _on_measured(self, memory: Mapping[str, DeviceMemory]) -> None:
        """Give room to those who want to start, in the order in which they began to."""
        self._is_measuring = False
        if self._is_outdated:
            self._measure_if_wanted()
            return
        for engine in self.engines.values():
            if self._is_due(engine):
                self._let_go(engine, memory)
        claims: list[Wanted] = []
        for engine in sorted(self._wanting(), key=lambda each: each.waits_since_s):
            self._give_room(engine, memory, claims)
            if engine.wants_start:
                claims.append(engine.wanted)

    def _give_room(self, engine: Engine, memory: Mapping[str, DeviceMemory], claims: list[Wanted]) -> None:
        wanted, there = engine.wanted, memory.get(engine.wanted.device)
        if there is not None and wanted.needs_bytes > there.total_bytes:
            self._fail_before_start(engine, _larger_than_machine(wanted, there))
            return
        if engine.emptied_for_it and any(other.is_stopping for other in self.engines.values()):
            return
        others = (other for other in self.engines.values() if other.is_live and other is not engine)
        loaded = [other.seen_as_loaded(self._now_s) for other in others]
        has_waited = self._now_s - engine.waits_since_s >= self.rules.fair_s
        plan = Room(loaded, self.rules.max_loaded, there).plan(wanted, claims, may_drain=has_waited)
        if plan.start:
            engine.begin()
            self._effects.append(Wake(wanted.model_id) if engine.is_waking else Start(wanted))
        elif plan.never:
            self._fail_before_start(engine, self._no_room(wanted, there))
        self._make_room(plan, memory)

    def _make_room(self, plan: RoomPlan, memory: Mapping[str, DeviceMemory]) -> None:
        for model_id in plan.stop:
            self._let_go(self.engines[model_id], memory)
        for model_id in plan.drain:
            self.engines[model_id].state = EngineState.DRAINING

    def _no_room(self, wanted: Wanted, there: DeviceMemory | None) -> ShelfError:
        """Return why waiting is in vain: others are pinned, or other programs hold the memory."""
        pinned = [other.wanted.model_name for other in self.engines.values() if other.pinned and other.is_live]
        if pinned:
            detail = f"{wanted.model_name} needs room that models hold which are pinned in memory: {', '.join(pinned)}."
            return Unavailable(detail, hint=f"shelf unload {pinned[0]}", pinned=pinned)
        assert there is not None, "an engine that isn't pinned gives its slot"
        detail = (
            f"{wanted.model_name} needs {format_size(wanted.needs_bytes)} of memory, and other programs leave"
            f" {format_size(there.free_bytes)} of {format_size(there.total_bytes)}."
        )
        return _short_of_memory(detail, "End some of them, or choose a smaller file.", wanted, there)

    def _fail_before_start(self, engine: Engine, error: ShelfError) -> None:
        """Refuse all who wait; nothing was tried, so nothing is held against the next one who asks."""
        self._refuse_waiting(engine, error)
        engine.emptied_for_it = False
        engine.state, engine.error = EngineState.FAILED, error

    def _grant_waiting(self, engine: Engine) -> None:
        while engine.queue and engine.has_slot:
            asked = engine.queue.take(each.key for each in engine.granted.values())
            engine.grant(asked)
            self._effects.append(Grant(asked.ticket))

    def _stop_drained(self, engine: Engine) -> None:
        if not engine.granted and not engine.is_stopping and not engine.is_falling_asleep:
            self._stop(engine)

    def _let_idle_go(self) -> None:
        """End engines whose time is over; of one that may sleep, the memory is measured first."""
        due = [engine for engine in self.engines.values() if self._is_due(engine)]
        for engine in due:
            if not engine.may_sleep:
                self._stop(engine)
        if any(engine.may_sleep for engine in due):
            self._measure()

    def _is_due(self, engine: Engine) -> bool:
        return (leaves_at_s := engine.leaves_at_s) is not None and leaves_at_s <= self._now_s

    def _let_go(self, engine: Engine, memory: Mapping[str, DeviceMemory]) -> None:
        """Let an unused engine give its room: asleep, where it can and the machine's memory takes its weights."""
        there = memory.get("")
        if engine.may_sleep and (there is None or engine.wanted.asleep_bytes <= there.free_bytes):
            engine.fall_asleep()
            self._effects.append(Sleep(engine.wanted.model_id))
        else:
            self._stop(engine)

    def _stop(self, engine: Engine) -> None:
        engine.state, engine.is_stopping, engine.is_falling_asleep = EngineState.DRAINING, True, False
        self._effects.append(Stop(engine.wanted.model_id))

    def _refuse(self, asked: Asked, error: ShelfError) -> None:
        self._tickets.pop(asked.ticket, None)
        self._effects.append(Refuse(asked.ticket, error))

    def _refuse_waiting(self, engine: Engine, error: ShelfError) -> None:
        for asked in engine.queue.take_all():
            self._refuse(asked, error)

    def _drop_granted(self, engine: Engine) -> None:
        """Forget the requests that an engine was answering when it ended."""
        for ticket in engine.granted:
            self._tickets.pop(ticket, None)

    def _forget(self, engine: Engine) -> None:
        if engine.is_forgotten:
            self.engines.pop(engine.wanted.model_id, None)

    def _wanting(self) -> Iterator[Engine]:
        return (engine for engine in self.engines.values() if engine.wants_start)

    def _measure_if_wanted(self) -> None:
        if any(self._wanting()):
            self._measure()

    def _measure(self) -> None:
        if not self._is_measuring:
            self._is_measuring, self._is_outdated = True, False
            self._effects.append(Measure())


def _too_many(engine: Engine) -> TooMany:
    queued = len(engine.queue)
    detail = f"{many(queued, 'request')} {'waits' if queued == 1 else 'wait'} for {engine.wanted.model_name} already."
    return TooMany(detail, hint="Ask again later; QUEUE_LIMIT lets more wait.", queued=queued)


def _larger_than_machine(wanted: Wanted, there: DeviceMemory) -> ShelfError:
    detail = (
        f"{wanted.model_name} needs {format_size(wanted.needs_bytes)} of memory, and"
        f" {wanted.device or 'this machine'} has {format_size(there.total_bytes)}."
    )
    return _short_of_memory(detail, "Choose a smaller file of it, or a shorter context.", wanted, there)


def _short_of_memory(detail: str, hint: str, wanted: Wanted, there: DeviceMemory) -> EngineFailed:
    return EngineFailed(
        detail,
        hint=hint,
        out_of_memory=True,
        needs_bytes=wanted.needs_bytes,
        free_bytes=there.free_bytes,
        total_bytes=there.total_bytes,
    )
