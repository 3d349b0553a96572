"""Carries out what the scheduler decides: starts and ends engines, watches them, and wakes who waits."""

from __future__ import annotations

import asyncio
import copy
import itertools
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from modelshelf.domain.ports import EngineStarter, RunningEngine
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
from modelshelf.domain.serving import DeviceMemory, EngineState, Load, Served, Wanted
from modelshelf.domain.stall import StallWatch
from modelshelf.errors import EngineFailed, ShelfError, Unavailable

_log = logging.getLogger(__name__)
T = TypeVar("T")
STOP_WITHIN_S = 20.0
"""Longer than an engine may take to end politely before it is killed."""
RETRY_AFTER_S = 5.0
_LOOKS = 6
"""How often an engine that should answer is looked at until it counts as one that hangs."""


@dataclass(slots=True)
class _Waiter:
    """A request that waits for its grant."""

    model_id: int
    granted: asyncio.Future[Served]


@dataclass(slots=True)
class Slot:
    """A slot of a model's engine, held until the end of a `with`."""

    served: Served
    give_back: Callable[[], None]

    def __enter__(self) -> Served:
        """Give where the model answers."""
        return self.served

    def __exit__(self, *exc_info: object) -> None:
        """Give the slot back."""
        self.give_back()


class RunLoop:
    """The scheduler, and everything that is under way because of it.

    **Concurrency:** one event loop owns it. Each event is handled, and its effects begun, before anything else runs.

    Args:
        starter: Starts engines.
        rules: How they are shared.
        on_load: Called with each start that is over.
    """

    def __init__(
        self, starter: EngineStarter, rules: Rules, on_load: Callable[[Load], None] = lambda load: None
    ) -> None:
        self.scheduler = Scheduler(rules)
        self.running: dict[int, RunningEngine] = {}
        """The engines that answer, by their models; for reading."""
        self._starter = starter
        self._on_load = on_load
        self._loop: asyncio.AbstractEventLoop
        self._threads: ThreadPoolExecutor
        self._tickets = itertools.count(1)
        self._waiters: dict[int, _Waiter] = {}
        self._lives: dict[int, asyncio.Task[None]] = {}
        """From the beginning of a start to the end of the engine."""
        self._ends: dict[int, asyncio.Task[None]] = {}
        self._faults: dict[int, str] = {}
        """Why engines were ended that neither fell asleep nor woke."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Begin, in the loop that owns it from now on."""
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="engines")

    def now_s(self) -> float:
        """Return the time by the loop's clock; any thread may ask."""
        return self._loop.time()

    async def stop(self) -> None:
        """Refuse all who wait, and end all engines; what doesn't end in time is cancelled."""
        self.tell(Close())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_WITHIN_S)
        for task in self._tasks:
            _log.warning("engine_not_ended_in_time")
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._is_stopped = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, call: Callable[..., T], *args: object) -> T:
        """Return what a blocking call returns; it can't be held up by the blocking calls of others.

        Raises:
            Unavailable: The process ends.
        """
        if self._is_stopped:
            raise Unavailable("The server stops.", retry_after_s=RETRY_AFTER_S)
        return await self._loop.run_in_executor(self._threads, call, *args)

    async def slot(
        self,
        wanted: Wanted,
        *,
        key: str = "",
        keep_alive_s: float | None = None,
        pin: bool = False,
        by_hand: bool = False,
        wait_s: float | None = None,
    ) -> Slot:
        """Wait for a slot of a model's engine; see `EnginePool.use`.

        Raises:
            ShelfError: It can't be had, or not within `wait_s`.
        """
        ticket, granted = next(self._tickets), self._loop.create_future()
        self._waiters[ticket] = _Waiter(wanted.model_id, granted)
        self.tell(Asked(ticket, wanted, key, keep_alive_s, pin, by_hand))
        try:
            if not granted.done():
                await asyncio.wait([granted], timeout=wait_s)
            if not granted.done():
                raise self._not_yet(wanted)
            return Slot(granted.result(), partial(self.tell, Done(ticket)))
        except BaseException:
            self._waiters.pop(ticket, None)
            if not granted.cancel() and not granted.cancelled():
                granted.exception()  # a client who left as it was refused never hears of it
            self.tell(Done(ticket))
            raise

    async def gone(self, model_id: int) -> None:
        """Wait until the engine that a model has now is gone."""
        if (life := self._lives.get(model_id)) is not None:
            await asyncio.wait([life])
        if (end := self._ends.get(model_id)) is not None:
            await asyncio.wait([end])

    def tell(self, event: Event) -> None:
        """Tell the scheduler of an event, and begin what is to be done."""
        now_s = self._loop.time()
        for effect in self.scheduler.handle(event, now_s):
            self._begin(effect)
        self._set_timer(self.scheduler.due_s(now_s))

    def _begin(self, effect: Effect) -> None:
        match effect:
            case Grant(ticket):
                if (waiter := self._waiters.pop(ticket, None)) is not None and not waiter.granted.done():
                    waiter.granted.set_result(self.running[waiter.model_id].served)
            case Refuse(ticket, error):
                if (waiter := self._waiters.pop(ticket, None)) is not None and not waiter.granted.done():
                    waiter.granted.set_exception(copy.copy(error))  # each is raised, with a traceback of its own
            case Start(wanted):
                self._lives[wanted.model_id] = self._spawn(self._live(wanted))
            case Stop(model_id):
                self._ends[model_id] = self._spawn(self._end(model_id))
            case Sleep(model_id):
                self._spawn(self._turn(model_id, Slept(model_id)))
            case Wake(model_id):
                self._spawn(self._turn(model_id, Woke(model_id)))
            case Measure():
                self._spawn(self._measure())

    async def _live(self, wanted: Wanted) -> None:
        """Start an engine and watch it until it dies; cancelled, it tells nothing."""
        model_id, extra = wanted.model_id, {"model": wanted.model_name, "backend": wanted.backend}
        _log.info("engine_starts", extra=extra)
        try:
            engine = await self._start(wanted)
        except ShelfError as err:
            _log.warning("engine_failed", extra={**extra, "detail": err.detail})
            if model_id in self._ends:  # it was to end in this very moment; who ends it tells
                return
            self._lives.pop(model_id, None)
            self._on_load(Load(wanted.model_name, wanted.backend, None))
            self.tell(StartFailed(model_id, err, isinstance(err, EngineFailed) and err.out_of_memory))
            return
        self.running[model_id] = engine
        _log.info("engine_ready", extra={**extra, "load_s": engine.load_s})
        self._on_load(Load(wanted.model_name, wanted.backend, engine.load_s))
        self.tell(Started(model_id, engine.load_s))
        why = await self._end_of(model_id, engine)
        why = self._faults.pop(model_id, why)
        if model_id in self._ends:
            return
        _log.warning("engine_died", extra={**extra, "detail": why})
        del self.running[model_id]
        self._lives.pop(model_id, None)
        self.tell(Died(model_id, EngineFailed(why, hint="Ask again: it is started anew.", tail=tuple(engine.log()))))

    async def _end_of(self, model_id: int, engine: RunningEngine) -> str:
        """Wait until an engine is gone, and return why; one that hangs while it should answer is ended."""
        died, watch = asyncio.ensure_future(engine.died()), None
        patience_s = self.scheduler.rules.hangs_after_s
        try:
            while not (await asyncio.wait([died], timeout=patience_s / _LOOKS))[0]:
                if not self.scheduler.engines[model_id].granted:
                    watch = None
                    continue
                signs = await asyncio.to_thread(engine.signs_of_life)
                watch = watch or StallWatch(patience_s, self._loop.time(), signs)
                if watch.is_stalled(self._loop.time(), signs):
                    await engine.stop()
                    return f"It gave no sign of life for {patience_s:.0f} s while it should answer, and was ended."
            return died.result()
        finally:
            died.cancel()

    async def _start(self, wanted: Wanted) -> RunningEngine:
        """Return a started engine. An unexpected exception is a failed start: no model is left starting."""

        def told(state: EngineState) -> None:
            is_unwanted = state is EngineState.STOPPED
            event = Unload(wanted.model_id) if is_unwanted else Reached(wanted.model_id, state)
            self._loop.call_soon_threadsafe(self.tell, event)

        starting = asyncio.ensure_future(self._starter.start(wanted, told))
        try:
            await asyncio.wait([starting])
        except asyncio.CancelledError:
            starting.cancel()
            await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:  # it was ready in this very moment
                await starting.result().stop()
            raise
        fault = starting.exception()
        if fault is not None and not isinstance(fault, ShelfError):
            _log.error("engine_start_broke", exc_info=fault)
            raise EngineFailed(f"The start of {wanted.model_name} broke: {type(fault).__name__}: {fault}") from fault
        return starting.result()

    async def _end(self, model_id: int) -> None:
        life, engine = self._lives[model_id], self.running.get(model_id)
        try:
            if engine is None:
                life.cancel()
            else:
                await engine.stop()
            await asyncio.wait([life])
        finally:
            _log.info("engine_stopped", extra={"model_id": model_id})
            for known in (self._lives, self._ends, self.running):
                known.pop(model_id, None)
            self.tell(Stopped(model_id))

    async def _turn(self, model_id: int, over: Slept | Woke) -> None:
        """Let an engine sleep or wake; one that doesn't is ended, and the task that watches it tells that it died."""
        engine = self.running[model_id]
        try:
            await (engine.sleep() if isinstance(over, Slept) else engine.wake())
        except EngineFailed as err:
            self._faults[model_id] = err.detail
            await engine.stop()
        else:
            self.tell(over)

    async def _measure(self) -> None:
        memory: dict[str, DeviceMemory] = {}
        try:
            memory.update(await self.in_thread(self._starter.memory))
        finally:
            self.tell(Measured(memory))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _set_timer(self, due_s: float | None) -> None:
        """Let the next tick come when it is due, or before: each request puts the end of its engine off."""
        if due_s is None or (self._timer is not None and self._timer.when() <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.tell(Tick())

    def _not_yet(self, wanted: Wanted) -> Unavailable:
        engine = self.scheduler.engines.get(wanted.model_id)
        state = engine.state if engine is not None else EngineState.COLD
        detail = f"{wanted.model_name} isn't ready yet: it is {state.value}."
        return Unavailable(
            detail, hint="Ask again, or stream: a stream waits.", retry_after_s=RETRY_AFTER_S, state=state
        )
