"""The pool: all engines of a process, and the one way to use them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from modelshelf.domain.backend_choice import not_answered
from modelshelf.domain.engine_kinds import TALKS, Endpoint
from modelshelf.domain.ports import EngineStarter
from modelshelf.domain.scheduling_engine import Engine
from modelshelf.domain.scheduling_events import Seen, Unload
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.serving import EngineState, EngineStatus, Load, Served, Wanted
from modelshelf.errors import BadInput, EngineFailed, NotFound, ShelfError, Unavailable
from modelshelf.services.serving.run_loop import RunLoop

_log = logging.getLogger(__name__)
LOOK_AGAIN_S = 10.0
"""How often a model that is served is looked up again: it may have been updated or removed."""
_FRESH_S = 1.0
"""How long the pool believes what it last found out about a name."""
_MOST_NAMES = 1000


class EnginePool:
    """Starts engines for those who ask, shares them, and ends them.

    **Concurrency:** the event loop of `start` owns it: everything else is called there.

    Args:
        starter: Starts engines.
        rules: How they are shared.
        on_load: Called with each start that is over.
    """

    def __init__(
        self, starter: EngineStarter, rules: Rules, on_load: Callable[[Load], None] = lambda load: None
    ) -> None:
        self._starter = starter
        self._run = RunLoop(starter, rules, on_load)
        self._rules = rules
        self._names: dict[str, tuple[float, int]] = {}
        """When names were looked up, and the ids of the models that they meant."""
        self._models: dict[int, Wanted] = {}
        """What models were when they were last looked up."""
        self._looking: asyncio.Task[None] | None = None

    async def use(
        self,
        model_name: str,
        endpoint: Endpoint,
        keep_alive_s: float | None = None,
        key: str = "",
        *,
        patient: bool = False,
    ) -> AbstractContextManager[Served]:
        """Wait until a model is ready and has a free slot; the context holds the slot, and says where to ask.

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
        wanted = await self.look(model_name)
        if endpoint not in wanted.endpoints:
            if wanted.no_template and endpoint in TALKS:
                detail = f"{wanted.model_name} has no chat template, and {wanted.backend} needs one for a conversation."
                raise BadInput(detail, hint=wanted.no_template, param="model")
            raise not_answered(wanted.model_name, wanted.kind, wanted.backend, endpoint)
        wait_s = None if patient else self._rules.load_wait_s
        return await self._run.slot(wanted, key=key, keep_alive_s=keep_alive_s, wait_s=wait_s)

    async def engines(self) -> list[EngineStatus]:
        """Return the engines and the models that are asked for, by name, with the memory that they hold."""
        held = {}
        for model_id, engine in list(self._run.running.items()):
            held[model_id] = await self._run.in_thread(engine.memory_bytes)
        found = [self._status(each, held.get(i)) for i, each in self._run.scheduler.engines.items()]
        return sorted(found, key=lambda status: status.model_name)

    def statuses(self) -> dict[str, EngineStatus]:
        """Return what all engines have come to, by their models, without the memory; any thread may ask."""
        return {engine.wanted.model_name: self._status(engine) for engine in list(self._run.scheduler.engines.values())}

    def status_of(self, model_name: str) -> EngineStatus | None:
        """Return what a model's engine has come to; None where nobody asked for it."""
        engine = self._known(model_name)
        return None if engine is None else self._status(engine)

    async def load(
        self, model_name: str, keep_alive_s: float | None = None, *, pinned: bool = False, patient: bool = True
    ) -> EngineStatus:
        """Start a model and return once it is ready; a start that takes longer than that goes on.

        Args:
            model_name: The model.
            keep_alive_s: See `use`.
            pinned: Whether it then never makes room for another model.
            patient: See `use`.

        Raises:
            NotFound, BadInput, EngineFailed, TooMany, Unavailable: See `use`.
        """
        wanted = await self.look(model_name)
        wait_s = None if patient else self._rules.load_wait_s
        with await self._run.slot(wanted, keep_alive_s=keep_alive_s, pin=pinned, by_hand=True, wait_s=wait_s):
            return self._status(self._run.scheduler.engines[wanted.model_id])

    async def unload(self, model_name: str) -> None:
        """End a model's engine once it has answered what it was asked; returns when it is gone.

        Raises:
            NotFound: No engine has it, or there is no such model.
        """
        engine = self._known(model_name)
        model_id = engine.wanted.model_id if engine is not None else (await self.look(model_name)).model_id
        if model_id not in self._run.scheduler.engines:
            raise NotFound(f"{model_name} isn't loaded.", hint="shelf ps lists what is.", model_name=model_name)
        self._run.tell(Unload(model_id))
        await self._run.gone(model_id)

    async def start(self) -> None:
        """Begin, with the engines gone that a killed process left behind; needed before the first use."""
        self._run.start()
        try:
            await self._run.in_thread(self._starter.end_left_behind)
        except ShelfError as err:
            _log.warning("engines_left_behind_unknown", extra={"detail": err.detail})
        self._looking = asyncio.create_task(self._look_again())

    async def stop(self) -> None:
        """End all engines; those who wait are refused, and those who are answered lose their answer."""
        assert self._looking is not None, "start comes first"
        self._looking.cancel()
        await asyncio.wait([self._looking])
        await self._run.stop()

    async def look(self, model_name: str) -> Wanted:
        """Return what a model is; a name's meaning of a moment ago is good enough for a request to its engine.

        As long as the registry doesn't answer, a name means what it meant to an engine that runs.

        Raises:
            NotFound: There is no such model.
            BadInput: Nothing that is installed serves it.
        """
        seen_s, model_id = self._names.get(model_name, (0.0, 0))
        if model_id not in self._run.running:
            return await self._look_up(model_name)
        if (now_s := asyncio.get_running_loop().time()) - seen_s >= _FRESH_S:
            self._names[model_name] = now_s, model_id  # one looks; those who ask meanwhile don't wait for that
            with contextlib.suppress(Unavailable):
                return await self._look_up(model_name)
        return self._models[model_id]

    async def _look_up(self, model: str | int) -> Wanted:
        wanted = await self._run.in_thread(self._starter.look, model)
        if isinstance(model, str):
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[model] = asyncio.get_running_loop().time(), wanted.model_id
        self._models[wanted.model_id] = wanted
        return wanted

    async def _look_again(self) -> None:
        """Look the models that are served up again and again: one that was removed is unloaded."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            await self.look_at_all()

    async def look_at_all(self) -> None:
        """See which of the models that are served are others by now."""
        for model_id in list(self._run.running):
            try:
                wanted = await self._look_up(model_id)
            except NotFound:
                self._run.tell(Unload(model_id))
            except (BadInput, Unavailable, EngineFailed):
                continue  # its engine answers; the next start will say what is wrong
            else:
                self._run.tell(Seen(wanted))

    def _known(self, model_name: str) -> Engine | None:
        engines = self._run.scheduler.engines.values()
        return next((engine for engine in engines if engine.wanted.model_name == model_name), None)

    def _status(self, engine: Engine, memory_bytes: int | None = None) -> EngineStatus:
        leaves_at_s, error = engine.leaves_at_s, engine.error
        return EngineStatus(
            model_name=engine.wanted.model_name,
            kind=engine.wanted.kind,
            state=engine.state,
            backend=engine.wanted.backend,
            memory_bytes=memory_bytes or (0 if engine.state is EngineState.FAILED else engine.wanted.needs_bytes),
            in_flight=len(engine.granted),
            queued=len(engine.queue),
            keep_alive_s=engine.keep_alive_s,
            unload_in_s=None if leaves_at_s is None else leaves_at_s - self._run.now_s(),
            pinned=engine.pinned,
            load_s=engine.load_s if engine.is_live else None,
            reason=error.detail if error is not None else "",
            tail=error.tail if isinstance(error, EngineFailed) else (),
        )
