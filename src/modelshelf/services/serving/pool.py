"""The pool: all engines of a process, and the one way to use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelshelf.domain.ports import EngineStarter, RunningEngine
from modelshelf.domain.serving import Endpoint, EngineState, EngineStatus, Served, Wanted
from modelshelf.errors import BadInput


class EnginePool:
    """Starts engines for those who ask, shares them, and ends them.

    **Concurrency:** one event loop owns it: everything but making it is called there.
    """

    def __init__(self, starter: EngineStarter) -> None:
        self._starter = starter
        self._engines: dict[int, tuple[Wanted, RunningEngine]] = {}
        self._starting = asyncio.Lock()

    @asynccontextmanager
    async def use(
        self,
        model_name: str,
        endpoint: Endpoint,
        keep_alive_s: float | None = None,
        key: str = "",
        *,
        patient: bool = False,
    ) -> AsyncIterator[Served]:
        """Give where a model answers, once it is ready and has a free slot; the slot is held until the end.

        Args:
            model_name: The model.
            endpoint: What it will be asked.
            keep_alive_s: How long it then stays when it is idle; None: as before; negative: for ever; 0: not at all.
            key: Who asks: the models' queues are fair between keys.
            patient: Wait as long as it takes, for a client that is told of the progress; else for LOAD_WAIT_S.

        Raises:
            NotFound: There is no such model.
            BadInput: Nothing that is installed serves it, or its engine doesn't answer this.
            EngineFailed: It didn't start; or it died, or failed a moment ago.
            TooMany: Too many requests wait for it.
            Unavailable: It isn't ready yet; `retry_after_s` says when to ask again. Or the pool stops.
        """
        wanted = await asyncio.to_thread(self._starter.look, model_name)
        if endpoint not in wanted.endpoints:
            raise BadInput(f"{wanted.model_name} doesn't answer {endpoint}: {wanted.backend} runs it.")
        async with self._starting:
            if wanted.model_id not in self._engines:
                self._engines[wanted.model_id] = wanted, await self._starter.start(wanted, lambda state: None)
        yield self._engines[wanted.model_id][1].served

    def engines(self) -> list[EngineStatus]:
        """Return the engines and the models that are asked for, by name."""
        return [
            EngineStatus(wanted.model_name, wanted.kind, EngineState.READY, wanted.backend, 0, 0, 0, 300)
            for wanted, _ in self._engines.values()
        ]

    def status_of(self, model_name: str) -> EngineStatus | None:
        """Return what a model's engine has come to; None where nobody asked for it."""
        return next((status for status in self.engines() if status.model_name == model_name), None)

    async def load(self, model_name: str, keep_alive_s: float | None = None, *, pinned: bool = False) -> EngineStatus:
        """Start a model and return once it is ready.

        Args:
            model_name: The model.
            keep_alive_s: See `use`.
            pinned: Whether it then never makes room for another model.

        Raises:
            NotFound, BadInput, EngineFailed, Unavailable: See `use`.
        """
        async with self.use(model_name, Endpoint.TOKENIZE, keep_alive_s, patient=True):
            pass
        return next(status for status in self.engines() if status.model_name == model_name)

    async def unload(self, model_name: str) -> None:
        """End a model's engine once it has answered what it was asked; returns when it is gone.

        Raises:
            NotFound: No engine has it.
        """
        wanted = await asyncio.to_thread(self._starter.look, model_name)
        await self._engines.pop(wanted.model_id)[1].stop()

    async def start(self) -> None:
        """Begin; needed before the first use."""

    async def stop(self) -> None:
        """End all engines; those who wait are refused, and those who are answered lose their answer."""
        for _, engine in self._engines.values():
            await engine.stop()
        self._engines.clear()
