"""A child that answers for a model: how one is started, asked whether it is ready, watched and ended."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from modelshelf.domain.backends import Sleep
from modelshelf.domain.engine_end import EngineEnd, end_of
from modelshelf.domain.serving import Served
from modelshelf.engines.child import Child, Launch
from modelshelf.engines.sleeping import turn
from modelshelf.errors import EngineFailed

T = TypeVar("T")
_POLL_S = 0.02
_LOOK_S = 1.0
"""How often a child that starts is asked how far it is: that reads all of /proc."""
_PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """How an engine is asked whether it is ready."""

    path: str
    """What answers with 200 once it is."""
    key: str = field(repr=False)
    """Empty for none."""


@dataclass(slots=True)
class Engine:
    """A child that answers for one model, until it dies or is stopped; see `domain.ports.RunningEngine`."""

    served: Served
    load_s: float
    _child: Child
    _ready: Readiness
    _sleep: Sleep | None = None
    _answers: int = 0
    """How many probes it answered."""

    def memory_bytes(self) -> int:
        """Return what its processes hold in memory now; 0 where that can't be told."""
        return self._child.memory_bytes()

    def signs_of_life(self) -> int:
        """Return a number that grows while it answers its probe, or takes processor time; blocking."""
        self._answers += is_ready(self.served.url, self._ready)
        return self._answers + self._child.processor_ms()

    def log(self) -> tuple[str, ...]:
        """Return the last lines that it wrote, oldest first."""
        return self._child.lines()

    async def sleep(self) -> None:
        """Let it give the memory of its device back, and keep its process.

        Raises:
            EngineFailed: It doesn't.
        """
        assert self._sleep is not None, "only an engine that can sleep is asked to"
        await asyncio.to_thread(turn, self.served, self._sleep, asleep=True)

    async def wake(self) -> None:
        """Let it answer again.

        Raises:
            EngineFailed: It doesn't.
        """
        assert self._sleep is not None, "only an engine that sleeps is woken"
        await asyncio.to_thread(turn, self.served, self._sleep, asleep=False)

    async def died(self) -> str:
        """Wait until it is gone, stopped or not; returns why, in a sentence with its last words."""
        code = await asyncio.wrap_future(self._child.ended)
        return "It was stopped." if self._child.was_stopped else end_of(code, self._child.lines()).why

    async def stop(self) -> None:
        """End it and all its children, politely first; returns when nothing of it is left."""
        await asyncio.to_thread(self._child.stop)


@dataclass(slots=True)
class RemoteEngine:
    """A server of somebody else's that answers for a model; nothing of it is ours to end."""

    served: Served
    load_s: float = 0.0
    _looks: int = 0
    _left: asyncio.Event = field(default_factory=asyncio.Event)

    def memory_bytes(self) -> int:
        """Return 0: it is in another's memory."""
        return 0

    def signs_of_life(self) -> int:
        """Return one more each time: another's server is not ours to end."""
        self._looks += 1
        return self._looks

    def log(self) -> tuple[str, ...]:
        """Return nothing: it tells us nothing."""
        return ()

    async def sleep(self) -> None:
        """Raise EngineFailed: another's server isn't ours to put to sleep."""
        raise EngineFailed(f"{self.served.url} is another's server, which isn't put to sleep.")

    async def wake(self) -> None:
        """Raise EngineFailed: it never slept."""
        raise EngineFailed(f"{self.served.url} is another's server, which isn't woken.")

    async def died(self) -> str:
        """Wait until it isn't used any more."""
        await self._left.wait()
        return "It was stopped."

    async def stop(self) -> None:
        """Use it no more."""
        self._left.set()


async def start_engine(
    launch: Launch,
    ready: Readiness,
    served: Callable[[str], Served],
    is_stalled: Callable[[int], bool],
    write_log: Callable[[str], None],
    on_end: Callable[[], None],
    sleep: Sleep | None = None,
) -> Engine:
    """Start a child and return its engine once it answers. Cancelled, it leaves nothing behind.

    Args:
        launch: How it is started.
        ready: How it is asked.
        served: Returns where the model answers, by the child's URL.
        is_stalled: Told how far the child is (a number that grows while it gets on); returns whether to give it up.
        write_log: Told of each line that it writes.
        on_end: Called once nothing of it is left, in another thread.
        sleep: How it sleeps; None: it can't.

    Raises:
        EngineFailed: It died, or got on no more.
    """
    started_s = time.monotonic()
    child = await in_thread(lambda: _child(launch, write_log, on_end), Child.stop)
    try:
        await _wait_until_ready(child, ready, is_stalled)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(child.stop))
        raise
    return Engine(served(child.url), time.monotonic() - started_s, child, ready, sleep)


async def in_thread(make: Callable[[], T], undo: Callable[[T], object]) -> T:
    """Return what a function makes, called in a thread; cancelled meanwhile, what it makes is undone.

    Args:
        make: The function.
        undo: Told of what was made and nobody waits for any more; called in a thread too.
    """
    made = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(made)
    except asyncio.CancelledError:
        await asyncio.to_thread(undo, await made)
        raise


def _child(launch: Launch, write_log: Callable[[str], None], on_end: Callable[[], None]) -> Child:
    """Return a child that runs; one that can't be started has ended."""
    try:
        return Child(launch, write_log, on_end)
    except BaseException:
        on_end()
        raise


async def _wait_until_ready(child: Child, ready: Readiness, is_stalled: Callable[[int], bool]) -> None:
    looked_s = -_LOOK_S
    while not await asyncio.to_thread(lambda: child.listens() and is_ready(child.url, ready)):
        if child.ended.done():
            raise _failed(end_of(child.ended.result(), child.lines()))
        due = time.monotonic() - looked_s >= _LOOK_S
        if due and is_stalled(await asyncio.to_thread(child.progress)):
            lines = child.lines()
            last = f" Its last words: {lines[-1]}" if lines else ""
            raise _failed(EngineEnd(f"It got on no more while it started, and was ended.{last}", False, lines[-12:]))
        looked_s = time.monotonic() if due else looked_s
        await asyncio.sleep(_POLL_S)


def _failed(end: EngineEnd) -> EngineFailed:
    return EngineFailed(end.why, tail=end.tail, out_of_memory=end.out_of_memory)


def is_ready(url: str, ready: Readiness) -> bool:
    """Return whether an engine answers; blocking, for five seconds at most."""
    at = urlsplit(url)
    kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
    connection = kind(at.hostname or "", at.port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", at.path + ready.path, headers=_bearer(ready.key))
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
