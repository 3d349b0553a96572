"""How a model would be served: its engine, its files, its memory, and what its command is filled with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.backend_choice import Choice, FoundBackend, choose_backend, endpoints_of
from modelshelf.domain.backends import Sleep
from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.domain.engine_wishes import EngineWish
from modelshelf.domain.launch_command import LaunchValues
from modelshelf.domain.model_facts import USUAL_CONTEXT, ModelFacts
from modelshelf.domain.model_memory import rough_bytes
from modelshelf.domain.models import Model, ModelRow, State
from modelshelf.domain.served_files import ServedFiles, gguf_files, whole_folder
from modelshelf.domain.trust import check_trust
from modelshelf.domain.weight_files import GGUF, format_of
from modelshelf.errors import BadInput, Conflict
from modelshelf.services.catalog.adapters import Adapters
from modelshelf.services.catalog.facts import facts_of
from modelshelf.services.catalog.models import Library
from modelshelf.store.probe import real_path
from modelshelf.store.repos.snapshot import file_in


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """How a model would be served."""

    model: Model
    base: Model | None
    """The base model, if the model is an adapter."""
    facts: ModelFacts
    """What the base model is, if there is one; else what the model is."""
    choice: Choice
    files: ServedFiles
    """The files of that same model."""
    adapter_bytes: int
    wish: EngineWish
    lacks_template: bool
    """Whether it is known that neither the model nor its base model has a chat template."""

    @property
    def served(self) -> Model:
        """The model whose weights are loaded: the base model, where there is one."""
        return self.base or self.model

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

    @property
    def endpoints(self) -> frozenset[Endpoint]:
        """What may be asked of it."""
        return endpoints_of(self.choice.backend, self.facts.kind, lacks_template=self.lacks_template)

    @property
    def version(self) -> str:
        """What an engine of it is started as; see `Wanted.version`."""
        row = self.model.row
        of_base = self.base.row.commit_hash if self.base is not None else ""
        return f"{row.commit_hash}:{of_base}:{self.files.first}:{self.choice.backend.name}:{self.wish.text}"

    @property
    def trusted(self) -> tuple[str, ...]:
        """What lets its engine run the code that the model brings, which was checked; nothing where it brings none."""
        argument = self.choice.backend.trust_argument
        return (argument,) if argument and self.facts.needs_code else ()

    @property
    def sleep(self) -> Sleep | None:
        """How its engine sleeps; None where it can't, or nobody said that it may."""
        sleep = self.choice.backend.sleep
        return sleep if sleep is not None and sleep.argument in self.wish.arguments else None

    @property
    def takes_media(self) -> bool:
        """Whether the model sees the pictures of a request, or that isn't known; llama.cpp reads them with a file."""
        return bool(self.files.mmproj) if GGUF in self.choice.backend.formats else self.facts.takes_media

    def paths(self) -> list[Path]:
        """Return the files that an engine will read, in its order."""
        assert self.served.path is not None
        root, snapshot = real_path(Path(self.served.base)), Path(self.served.path)
        found = (file_in(snapshot, file.path, root) for file in self.files.files)
        return [path for path in found if path is not None]


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans how models are served."""

    library: Library
    adapters: Adapters
    found: Callable[[], Sequence[FoundBackend]]
    """Returns what is installed."""
    wish_for: Callable[[ModelRow], EngineWish]
    """Returns what a person wants of a model's engine."""
    allow_remote_code: bool

    def plan(self, model: Model) -> ServingPlan:
        """Return how a model would be served.

        Raises:
            NotFound: It is an adapter whose base model isn't registered.
            BadInput: Nothing that is installed serves it, or it isn't trusted with what loading it may run.
        """
        is_here = model.path is not None and model.state in (State.READY, State.MOVING)
        base = self.adapters.base_of(model) if is_here else None
        served, own_files = base or model, self.library.files(model.row)
        files = self.library.files(served.row)
        facts, wish = facts_of(served, files), self.wish_for(model.row)
        choice = choose_backend(facts, self.found(), wish.engine)
        own_facts = facts if base is None else facts_of(model, own_files)
        if not wish.url:
            self._check_trust(served, facts, choice)
            if base is not None:
                self._check_trust(model, own_facts, choice)
        given = gguf_files(files) if GGUF in choice.backend.formats else None
        adapter_bytes = sum(file.size_bytes for file in own_files) if base is not None else 0
        lacks_template = facts.lacks_template and own_facts.lacks_template
        return ServingPlan(
            model, base, facts, choice, given or whole_folder(files), adapter_bytes, wish, lacks_template
        )

    def values(self, plan: ServingPlan, key: str, port: int) -> LaunchValues:
        """Return what the command is filled with.

        Args:
            plan: How the model is served; its files are there.
            key: What the engine is to ask for.
            port: Where it is to listen; 0: where it likes.

        Raises:
            BadInput: An adapter is in another format than its base model, or would be laid on another one.
            Conflict: A file leads out of its base.
        """
        served, backend = plan.served, plan.choice.backend
        assert plan.model.path is not None
        assert served.path is not None
        first = _checked(served, plan.files.first) if plan.files.first else served.path
        adapter = ""
        if plan.base is not None:
            adapter = self._adapter(plan.model) if plan.files.first else plan.model.path
            if not any("{adapter}" in word for group in backend.command for word in group):
                self.adapters.check_named(plan.model, plan.base)
                first = adapter  # transformers finds the base model by the adapter's own words
        return LaunchValues(
            model=first,
            name=plan.model.row.model_name,
            port=port,
            key=key,
            context=plan.context,
            slots=backend.slots,
            mmproj=_checked(served, plan.files.mmproj) if plan.files.mmproj else "",
            adapter=adapter,
        )

    def _check_trust(self, model: Model, facts: ModelFacts, choice: Choice) -> None:
        check_trust(
            model.row.model_name,
            facts,
            model.row.engine,
            takes=choice.backend.formats,
            runs_code=bool(choice.backend.trust_argument),
            allow_remote_code=self.allow_remote_code,
        )

    def _adapter(self, model: Model) -> str:
        """Return the GGUF file of an adapter.

        Raises:
            BadInput: It has none.
        """
        names = [file.path for file in self.library.files(model.row) if format_of(file.path) == GGUF]
        if not names:
            raise BadInput(
                f"{model.row.model_name} isn't a GGUF, and its base model is.",
                hint="Convert it with llama.cpp's convert_lora_to_gguf.py, or register the base model as safetensors.",
            )
        return _checked(model, names[0])


def _checked(model: Model, name: str) -> str:
    """Return the path of a file of a model.

    Raises:
        Conflict: It leads out of its base.
    """
    assert model.path is not None
    path = file_in(Path(model.path), name, real_path(Path(model.base)))
    if path is None:
        raise Conflict(f"{name} isn't a file of its base.", hint=f"shelf verify {model.row.model_name}")
    return str(path)
