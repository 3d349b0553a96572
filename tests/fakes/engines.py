"""A starter whose engines the test turns by hand: they are ready, die and run out of memory when they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.names import ModelName
from modelshelf.domain.serving import DeviceMemory, EngineState, Served, Wanted
from modelshelf.errors import EngineFailed, NotFound, ShelfError

GB = 10**9


@dataclass
class FakeEngine:
    """One start of a model, from the first state that it tells to its end."""

    wanted: Wanted
    served: Served
    load_s: float = 1.0
    ready: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    gone: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    may_stop: asyncio.Event = field(default_factory=asyncio.Event)
    tell: Callable[[EngineState], None] = lambda state: None
    hangs: bool = False
    is_asleep: bool = False
    cannot_turn: str = ""
    """Why it neither falls asleep nor wakes; empty where it does."""
    signs: int = 0

    @property
    def has_failed(self) -> bool:
        """Whether its start ended without an engine."""
        return self.ready.done() and (self.ready.cancelled() or self.ready.exception() is not None)

    def memory_bytes(self) -> int:
        """Return what it holds."""
        return self.wanted.needs_bytes

    def signs_of_life(self) -> int:
        """Return one more each time, unless it hangs."""
        self.signs += not self.hangs
        return self.signs

    def log(self) -> tuple[str, ...]:
        """Return its last lines."""
        return ("loading", "out of tune")

    async def sleep(self) -> None:
        """Fall asleep, unless it can't."""
        self._turn(asleep=True)

    async def wake(self) -> None:
        """Wake, unless it can't."""
        self._turn(asleep=False)

    def _turn(self, *, asleep: bool) -> None:
        if self.cannot_turn:
            raise EngineFailed(self.cannot_turn)
        self.is_asleep = asleep

    async def died(self) -> str:
        """Wait for its end."""
        return await asyncio.shield(self.gone)

    async def stop(self) -> None:
        """End, once it may."""
        await self.may_stop.wait()
        self.die("It was stopped.")

    def become_ready(self) -> None:
        """Answer from now on."""
        self.ready.set_result(None)

    def fail(self, why: str = "It crashed.", *, out_of_memory: bool = False) -> None:
        """End before it ever answered."""
        self.ready.set_exception(EngineFailed(why, tail=self.log(), out_of_memory=out_of_memory))

    def die(self, why: str = "It crashed.") -> None:
        """End."""
        if not self.gone.done():
            self.gone.set_result(why)


class FakeStarter:
    """An `EngineStarter` over models that exist when the test says so.

    Its engines start and stop at once, unless `by_hand` is set: then the test takes each from `started`, in order.
    """

    def __init__(self, *models: Wanted, by_hand: bool = False) -> None:
        self.models = {str(model.model_name): model for model in models}
        self.by_hand = by_hand
        self.free = {"": DeviceMemory(1000 * GB, 1000 * GB)}
        self.started: asyncio.Queue[FakeEngine] = asyncio.Queue()
        self.engines: list[FakeEngine] = []
        self.cancelled: list[FakeEngine] = []
        self.looks = 0
        self.why_not_looked: ShelfError | None = None

    @property
    def live(self) -> list[FakeEngine]:
        """The engines that start or run."""
        return [engine for engine in self.engines if not engine.gone.done() and not engine.has_failed]

    def look(self, model: str | int) -> Wanted:
        """Return a model."""
        self.looks += 1
        if self.why_not_looked is not None:
            raise self.why_not_looked
        for name, known in self.models.items():
            if model in (name, known.model_id):
                return known
        raise NotFound(f"There is no model {model}.", hint="shelf ls lists them.")

    def memory(self) -> Mapping[str, DeviceMemory]:
        """Return what the test says that is free."""
        return self.free

    def end_left_behind(self) -> int:
        """Return that there is nothing left."""
        return 0

    async def start(self, wanted: Wanted, told: Callable[[EngineState], None]) -> FakeEngine:
        """Start an engine; it is ready when the test says so."""
        served = Served(wanted.model_name, wanted.backend, f"http://127.0.0.1:{40000 + len(self.engines)}", "model")
        engine = FakeEngine(wanted, served, tell=told)
        self.engines.append(engine)
        told(EngineState.STARTING)
        if not self.by_hand:
            engine.become_ready()
            engine.may_stop.set()
        self.started.put_nowait(engine)
        try:
            await engine.ready
        except asyncio.CancelledError:
            self.cancelled.append(engine)
            raise
        return engine


def wanted(
    model_name: str,
    model_id: int,
    *,
    kind: EngineKind = EngineKind.GENERATE,
    needs_bytes: int = GB,
    slots: int = 4,
    version: str = "",
    keep_alive_s: float | None = None,
    device: str = "",
    asleep_bytes: int = 0,
) -> Wanted:
    """Return a model as an engine would serve it."""
    return Wanted(
        model_id,
        ModelName(model_name),
        kind,
        "fake",
        needs_bytes,
        keep_alive_s=keep_alive_s,
        slots=slots,
        version=version,
        device=device,
        asleep_bytes=asleep_bytes,
    )
