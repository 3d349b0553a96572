"""Starting an engine for a model: what serves it, its files, its lease, its command, and the wait until it answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.domain.backends import BACKENDS, Choice, FoundBackend, LaunchValues, choose_backend, command_of
from modelshelf.domain.engine_wishes import EngineWish
from modelshelf.domain.model_facts import USUAL_CONTEXT, ModelFacts
from modelshelf.domain.model_memory import rough_bytes
from modelshelf.domain.models import Model, State
from modelshelf.domain.ports import RunningEngine
from modelshelf.domain.served_files import ServedFiles, gguf_files, whole_folder
from modelshelf.domain.serving import DeviceMemory, EngineState, Served, Wanted
from modelshelf.domain.stall import StallWatch, patience_s
from modelshelf.domain.tiers import PRIMARY
from modelshelf.domain.weight_files import GGUF, format_of
from modelshelf.engines.child import Launch
from modelshelf.engines.left_behind import end_left_behind
from modelshelf.engines.memory import device_memory
from modelshelf.engines.running import Engine, Readiness, RemoteEngine, in_thread, is_ready, start_engine
from modelshelf.engines.warm import warming
from modelshelf.errors import BadInput, Conflict, EngineFailed, NotFound
from modelshelf.services.catalog.adapters import Adapters
from modelshelf.services.catalog.facts import facts_of
from modelshelf.services.catalog.leases import Leaser
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.process import is_alive
from modelshelf.store import engine_files
from modelshelf.store.engine_files import EngineLog, EngineRecord
from modelshelf.store.layout import Base
from modelshelf.store.repos.snapshot import real_file

_FETCHED = (State.REGISTERED, State.DOWNLOADING, State.PARTIAL)
"""The states of a model whose files a pull brings; what was lost or damaged needs a person."""
_PORT_TAKEN = "address already in use"


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a model would be served."""

    model: Model
    base: Model | None
    """Of an adapter, the model that it changes."""
    facts: ModelFacts
    """Of the base model, where there is one."""
    choice: Choice
    files: ServedFiles
    """Likewise."""
    adapter_bytes: int
    wish: EngineWish

    @property
    def context(self) -> int:
        """The tokens that its engine is started for."""
        return min(USUAL_CONTEXT, self.facts.context_length or USUAL_CONTEXT)

    @property
    def needs_bytes(self) -> int:
        """What it takes in the memory of this machine."""
        if self.wish.url:
            return 0
        memory = self.facts.memory(self.context)
        held = memory.total_bytes if memory else rough_bytes(self.files.size_bytes)
        weights = self.facts.weights_bytes or 0
        if self.files.first:  # the file that is served may be another one than the facts are about
            held += self.files.size_bytes - weights if memory else 0
        return max(held, 0) + self.adapter_bytes + self.choice.backend.own_bytes


@dataclass(slots=True)
class _Prepared:
    """All that a start needs, and what it holds."""

    plan: _Plan
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
            row.model_name, backend.name, url, self.upstream_model, self.key, backend.ignores, row.cache_location
        )

    def end(self) -> None:
        """Give back what is held; an engine that never answered was no use of the model."""
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
    adapters: Adapters
    found: Callable[[], Sequence[FoundBackend]]
    """Returns what is installed."""
    environment: Callable[[Model], Mapping[str, str]]
    """Returns the environment of a program that is to find a model, without secrets."""
    pull: Callable[[str], object]
    """Downloads what is missing of a model."""
    wish_for: Callable[[str], EngineWish]
    """Returns what a person wants of a model's engine."""
    state_home: Path
    owner: str
    """This process, as `services.jobs.process` names it."""

    def look(self, model: str | int) -> Wanted:
        """Return what a model would be served as; blocking, and starts nothing.

        Args:
            model: Its name; or the id of one that was looked up before, and may have another name by now.

        Raises:
            NotFound: There is no such model, or it is an adapter whose base model isn't registered.
            BadInput: Nothing that is installed serves it; says what to install.
        """
        plan = self._plan(self.library.model(model if isinstance(model, str) else self._name_of(model)))
        row, backend = plan.model.row, plan.choice.backend
        of_base = plan.base.row.commit_hash if plan.base is not None else ""
        return Wanted(
            row.id,
            row.model_name,
            plan.facts.kind,
            backend.name,
            plan.needs_bytes,
            slots=backend.slots,
            endpoints=backend.endpoints[plan.facts.kind],
            device=plan.choice.found.device,
            version=f"{row.commit_hash}:{of_base}:{plan.files.first}:{backend.name}:{plan.wish.text}",
            is_elsewhere=bool(plan.wish.url),
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

    async def start(self, wanted: Wanted, told: Callable[[EngineState], None]) -> RunningEngine:
        """Fetch, lease and start a model; returns its engine once it answers. Cancelled, it leaves nothing behind.

        A download that it waited for goes on as the job that it is.

        Args:
            wanted: What `look` returned.
            told: Told of each state on the way: fetching, starting.

        Raises:
            EngineFailed: It didn't start; says why, with the last lines of its log, and whether memory was short.
            NotFound, Conflict, Unavailable: Its files can't be used.
            BadInput: Nothing serves it any more.
        """
        name = wanted.model_name
        wish = self.wish_for(name)
        if wish.url:
            told(EngineState.STARTING)
            return await self._reach(wanted, wish)
        if (await asyncio.to_thread(self.library.model, name)).state in _FETCHED:
            told(EngineState.FETCHING)
            await asyncio.to_thread(self.pull, name)
        told(EngineState.STARTING)
        try:
            return await self._start(wanted)
        except EngineFailed as err:
            if _PORT_TAKEN not in " ".join(err.tail).lower():
                raise
            return await self._start(wanted)

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
        watch = StallWatch(patience_s(plan.files.size_bytes, None), time.monotonic())
        is_slow = plan.model.row.cache_location != PRIMARY
        try:
            with warming(prepared.paths if is_slow else ()):
                return await start_engine(
                    prepared.launch,
                    Readiness(plan.choice.backend.ready_path, prepared.key),
                    prepared.served,
                    lambda done: watch.is_stalled(time.monotonic(), done),
                    prepared.log.write,
                    prepared.end,
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

    def _plan(self, model: Model) -> _Plan:
        """Return how a model would be served."""
        is_here = model.path is not None and model.state in (State.READY, State.MOVING)
        base = self.adapters.base_of(model) if is_here else None
        served, own_files = base or model, self.library.files(model.row)
        files = self.library.files(served.row)
        facts = facts_of(served, files)
        wish = self.wish_for(model.row.model_name)
        choice = choose_backend(facts, self.found(), wish.engine)
        given = gguf_files(files) if GGUF in choice.backend.formats else None
        adapter_bytes = sum(file.size_bytes for file in own_files) if base is not None else 0
        return _Plan(model, base, facts, choice, given or whole_folder(files), adapter_bytes, wish)

    def _prepare(self, wanted: Wanted) -> _Prepared:
        """Lease a model and make its command; what is held is given back if that fails."""
        name, holder = wanted.model_name, f"engine in pid {os.getpid()}"
        with contextlib.ExitStack() as held:
            model = held.enter_context(self.leaser.using(name, "engine", holder))
            plan = self._plan(model)
            if plan.base is not None:
                held.enter_context(self.leaser.using(plan.base.row.model_name, "engine", holder))
            backend, key, mark = plan.choice.backend, secrets.token_urlsafe(24), secrets.token_hex(16)
            held.enter_context(engine_files.recorded(self.state_home, EngineRecord(mark, self.owner)))
            log = EngineLog(self.state_home, name)
            held.callback(log.close)
            values = self._values(plan, key)
            command = command_of(plan.choice.found.program, backend, plan.facts.kind, values, plan.wish.arguments)
            variables = {name: values.fill(text) for name, text in backend.environment.items()}
            environment = {**self.environment(plan.base or model), "PYTHONUNBUFFERED": "1", **variables}
            url = "" if backend.chooses_port else f"http://127.0.0.1:{values.port}"
            launch = Launch(command, environment, mark, url)
            paths = _paths(plan.base or model, plan.files)
            return _Prepared(plan, launch, key, values.fill(backend.upstream_model), paths, log, held.pop_all())

    def _values(self, plan: _Plan, key: str) -> LaunchValues:
        """Return what the command is filled with."""
        served, backend = plan.base or plan.model, plan.choice.backend
        assert plan.model.path is not None
        assert served.path is not None
        first = _checked(served, plan.files.first) if plan.files.first else served.path
        adapter = ""
        if plan.base is not None:
            adapter = self._adapter(plan.model) if plan.files.first else plan.model.path
            if not any("{adapter}" in word for group in backend.command for word in group):
                first = adapter  # transformers finds the base model by the adapter's own words
        return LaunchValues(
            model=first,
            name=plan.model.row.model_name,
            port=0 if backend.chooses_port else _free_port(),
            key=key,
            context=plan.context,
            slots=backend.slots,
            mmproj=_checked(served, plan.files.mmproj) if plan.files.mmproj else "",
            adapter=adapter,
        )

    def _adapter(self, model: Model) -> str:
        """Return the GGUF file of an adapter.

        Raises:
            BadInput: It has none.
        """
        names = [file.path for file in self.library.files(model.row) if format_of(file.path) == GGUF]
        if not names:
            raise BadInput(
                f"{model.row.model_name} is no GGUF, and its base model is one.",
                hint="Convert it with llama.cpp's convert_lora_to_gguf.py, or register the base model as safetensors.",
            )
        return _checked(model, names[0])


def _checked(model: Model, name: str) -> str:
    """Return the path of a file of a model.

    Raises:
        Conflict: It leads out of its base.
    """
    assert model.path is not None
    path = Path(model.path) / name
    if real_file(path, Base(Path(model.base)).path.resolve()) is None:
        raise Conflict(f"{path} isn't a file of its base.", hint=f"shelf verify {model.row.model_name}")
    return str(path)


def _paths(model: Model, files: ServedFiles) -> list[Path]:
    """Return the files that an engine will read, in its order."""
    root = Base(Path(model.base)).path.resolve()
    found = (real_file(Path(model.path or "") / file.path, root) for file in files.files)
    return [path for path in found if path is not None]


def _free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
