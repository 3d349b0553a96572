"""Starting an engine for a model: what serves it, its files, its lease, its command, and the wait until it answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelshelf.domain.backends import BACKENDS
from modelshelf.domain.chat_template import where_to_get
from modelshelf.domain.engine_wishes import EngineWish
from modelshelf.domain.jobs import Cause
from modelshelf.domain.launch_command import command_of
from modelshelf.domain.models import Model, State
from modelshelf.domain.ports import RunningEngine
from modelshelf.domain.serving import DeviceMemory, EngineState, Served, Wanted
from modelshelf.domain.stall import LEAST_PATIENCE_S, StallWatch, patience_s
from modelshelf.domain.tiers import PRIMARY
from modelshelf.engines.child import Launch
from modelshelf.engines.left_behind import end_left_behind
from modelshelf.engines.memory import device_memory
from modelshelf.engines.running import Engine, Readiness, RemoteEngine, in_thread, is_ready, start_engine
from modelshelf.engines.warm import MeasuredRate, warming
from modelshelf.errors import EngineFailed, NotFound, ShelfError
from modelshelf.services.catalog.leases import Leaser
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.process import is_alive
from modelshelf.services.serving.load_jobs import LoadJobs, Told
from modelshelf.services.serving.serving_plan import Planner, ServingPlan
from modelshelf.store import engine_files
from modelshelf.store.engine_files import EngineLog, EngineRecord
from modelshelf.store.layout import modules_folder

_FETCHED = (State.REGISTERED, State.QUEUED, State.PAUSED, State.DOWNLOADING, State.PARTIAL)
"""The states of a model whose files a pull brings; what was lost or damaged needs a person."""
_log = logging.getLogger(__name__)
_PORT_TAKEN = "address already in use"


@dataclass(slots=True)
class _Prepared:
    """All that a start needs, and what it holds."""

    plan: ServingPlan
    launch: Launch
    key: str = field(repr=False)
    upstream_model: str
    paths: Sequence[Path]
    """The files that the engine will read."""
    log: EngineLog
    held: contextlib.ExitStack
    was_ready: bool = False

    def served(self, url: str) -> Served:
        """Return where the model answers, which it does now."""
        self.was_ready = True
        backend, row = self.plan.choice.backend, self.plan.model.row
        return Served(
            row.model_name,
            backend.name,
            url,
            self.upstream_model,
            self.key,
            backend.ignores,
            row.cache_location,
            self.plan.facts.takes_tools,
            backend.names_tools,
            self.plan.takes_media,
            backend.samples_with,
        )

    def end(self) -> None:
        """Give back what is held; a model whose engine never answered wasn't used."""
        if self.was_ready:
            self.held.close()
        else:
            failed = EngineFailed("It never answered.")
            self.held.__exit__(type(failed), failed, None)


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts engines; see `domain.ports.EngineStarter`."""

    library: Library
    leaser: Leaser
    planner: Planner
    environment: Callable[[Model], Mapping[str, str]]
    """Returns the environment of a program that is to find a model, without secrets."""
    pull: Callable[[str], object]
    """Downloads what is missing of a model."""
    promote: Callable[[Model], Callable[[], object] | None]
    """Returns what moves a model to the primary before it is started; None where it is started from where it is."""
    state_home: Path
    owner: str
    """This process, as `services.jobs.process` names it."""
    loads: LoadJobs
    cause: Cause
    """Why models are loaded here, unless a person asked for one before."""

    def look(self, model: str | int) -> Wanted:
        """Return what a model would be served as; blocking, and starts nothing.

        Args:
            model: Its name; or the id of one that was looked up before, and may have another name by now.

        Raises:
            NotFound: There is no such model, or it is an adapter whose base model isn't registered.
            BadInput: Nothing that is installed serves it, or it isn't trusted with its code; says what to do.
            Unavailable: Its disk is away.
        """
        found = self.library.model(model if isinstance(model, str) else self._name_of(model))
        if found.state is State.OFFLINE and not self.planner.wish_for(found.row).url:
            self.library.ready(found.row.model_name)  # what it is can't be read; an engine that runs stays as it is
        plan = self.planner.plan(found)
        row, backend = plan.model.row, plan.choice.backend
        return Wanted(
            row.id,
            row.model_name,
            plan.facts.kind,
            backend.name,
            plan.needs_bytes,
            slots=backend.slots,
            endpoints=plan.endpoints,
            no_template=self._no_template(plan),
            device=plan.choice.found.device,
            version=plan.version,
            is_elsewhere=bool(plan.wish.url),
            asleep_bytes=plan.files.size_bytes if plan.sleep else 0,
        )

    def memory(self) -> Mapping[str, DeviceMemory]:
        """Return the memory of each device that `Wanted.device` may name, "" for the machine's own; blocking."""
        return device_memory()

    def end_left_behind(self) -> int:
        """End the children of servers that were killed, guards and all; returns how many processes those were."""
        gone = [one for one in engine_files.records(self.state_home) if is_alive(one.owner) is False]
        count = end_left_behind(frozenset(one.mark for one in gone))
        for one in gone:
            engine_files.forget(self.state_home, one)
        return count

    async def start(self, wanted: Wanted, told: Told) -> RunningEngine:
        """Fetch, lease and start a model; returns its engine once it answers. Cancelled, it leaves nothing behind.

        Meanwhile there is a job for it. A download or a move that it waited for goes on as the job that it is.

        Args:
            wanted: What `look` returned.
            told: Told of each state on the way: fetching, promoting, starting; of STOPPED when somebody cancelled the
                job: its caller then ends the start.

        Raises:
            EngineFailed: It didn't start; says why, with the last lines of its log, and whether memory was short.
            NotFound, Conflict, Unavailable: Its files can't be used.
            BadInput: Nothing serves it any more.
        """
        wish = self.planner.wish_for(await asyncio.to_thread(self.library.row, wanted.model_name))
        if wish.url:
            told(EngineState.STARTING)
            return await self._reach(wanted, wish)

        return await self.loads.run(wanted, lambda note: self._bring(wanted, note), told, self.cause)

    async def _bring(self, wanted: Wanted, told: Told) -> Engine:
        name = wanted.model_name
        if (await asyncio.to_thread(self.library.model, name)).state in _FETCHED:
            told(EngineState.FETCHING)
            await asyncio.to_thread(self.pull, name)
        await self._promote(name, told)
        told(EngineState.STARTING)
        try:
            return await self._start(wanted)
        except EngineFailed as err:
            if _PORT_TAKEN not in " ".join(err.tail).lower():
                raise
            return await self._start(wanted)

    async def _promote(self, name: str, told: Told) -> None:
        """Move a model to the primary where the policy says so; where that fails it is started from where it is."""
        move = await asyncio.to_thread(lambda: self.promote(self.library.model(name)))
        if move is None:
            return
        told(EngineState.PROMOTING)
        try:
            await asyncio.to_thread(move)
        except ShelfError as err:
            _log.warning("not_promoted", extra={"model": name, "detail": err.detail})

    async def _reach(self, wanted: Wanted, wish: EngineWish) -> RemoteEngine:
        """Return a server of somebody else's once it answers."""
        backend = BACKENDS[wish.engine]
        if not await asyncio.to_thread(is_ready, wish.url, Readiness(backend.ready_path, "")):
            raise EngineFailed(
                f"{wanted.model_name} is served by {wish.url}, which doesn't answer {backend.ready_path}.",
                hint="Start that server, or change SHELF_ENGINES.",
                model_name=wanted.model_name,
            )
        upstream = wish.upstream_model or wanted.model_name
        return RemoteEngine(Served(wanted.model_name, backend.name, wish.url, upstream))

    async def _start(self, wanted: Wanted) -> Engine:
        prepared = await in_thread(lambda: self._prepare(wanted), _Prepared.end)
        plan = prepared.plan
        watch, disk = StallWatch(LEAST_PATIENCE_S, time.monotonic()), MeasuredRate(prepared.paths)
        is_slow = plan.model.row.cache_location != PRIMARY

        def is_stalled(done: int) -> bool:
            watch.patience_s = patience_s(plan.files.size_bytes, disk.bytes_per_s)
            return watch.is_stalled(time.monotonic(), done)

        try:
            with warming(prepared.paths if is_slow else ()):
                return await start_engine(
                    prepared.launch,
                    Readiness(plan.choice.backend.ready_path, prepared.key),
                    prepared.served,
                    is_stalled,
                    prepared.log.write,
                    prepared.end,
                    plan.sleep,
                )
        except EngineFailed as err:
            hint = f"Its whole log: shelf logs {wanted.model_name}"
            raise EngineFailed(
                f"{wanted.model_name} didn't start with {plan.choice.backend.name}. {err.detail}",
                hint=hint,
                tail=err.tail,
                out_of_memory=err.out_of_memory,
                model_name=wanted.model_name,
            ) from err

    def _name_of(self, model_id: int) -> str:
        """Return a model's name.

        Raises:
            NotFound: It isn't registered any more.
        """
        for row in self.library.reader.models(model_id=model_id):
            return row.model_name
        raise NotFound(f"Model {model_id} isn't registered any more.", hint="shelf ls lists them.", model_id=model_id)

    def _no_template(self, plan: ServingPlan) -> str:
        """Return what to do about a missing chat template; empty where nothing misses it."""
        row = plan.served.row
        if not plan.lacks_template or not plan.choice.backend.needs_template or row.commit_hash is None:
            return ""
        return where_to_get(row, (file.path for file in self.library.reader.files(row.hf_path, row.commit_hash)))

    def _prepare(self, wanted: Wanted) -> _Prepared:
        """Lease a model and make its command; what is held is given back if that fails."""
        name, holder = wanted.model_name, f"engine in pid {os.getpid()}"
        with contextlib.ExitStack() as held:
            model = held.enter_context(self.leaser.using(name, "engine", holder))
            plan = self.planner.plan(model)
            if plan.base is not None:
                base = held.enter_context(self.leaser.using(plan.base.row.model_name, "engine", holder))
                plan = replace(plan, base=base)
            backend, key, mark = plan.choice.backend, secrets.token_urlsafe(24), secrets.token_hex(16)
            held.enter_context(engine_files.recorded(self.state_home, EngineRecord(mark, self.owner)))
            log = EngineLog(self.state_home, name)
            held.callback(log.close)
            values = self.planner.values(plan, key, 0 if backend.chooses_port else _free_port())
            words = command_of(plan.choice.found.program, backend, plan.facts.kind, values, plan.wish.arguments)
            variables = {name: values.fill(text) for name, text in backend.environment.items()}
            environment = {**self.environment(plan.served), "PYTHONUNBUFFERED": "1", **variables}
            environment |= plan.sleep.environment if plan.sleep else {}
            if plan.trusted:
                environment["HF_MODULES_CACHE"] = str(modules_folder(self.state_home))
            url = "" if backend.chooses_port else f"http://127.0.0.1:{values.port}"
            launch = Launch([*words, *plan.trusted], environment, mark, url)
            return _Prepared(plan, launch, key, values.fill(backend.upstream_model), plan.paths(), log, held.pop_all())


def _free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
