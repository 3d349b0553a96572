"""shelf engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import (
    AllowPickle,
    AsJson,
    ChosenEngine,
    EngineArguments,
    TrustRemoteCode,
    engine_change,
    model_argument,
)
from modelshelf.cli.terminal import Styled
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.backend_choice import Choice
    from modelshelf.domain.engine_wishes import EngineChange
    from modelshelf.domain.model_facts import ModelFacts
    from modelshelf.schemas.engines import BackendJson, ModelEngineJson
    from modelshelf.services.catalog.models import Library


def engines(
    name: Annotated[str | None, model_argument("A model: what would serve it.")] = None,
    engine: ChosenEngine = None,
    engine_arg: EngineArguments = None,
    trust_remote_code: TrustRemoteCode = None,
    allow_pickle: AllowPickle = None,
    as_json: AsJson = False,
) -> None:
    """List what serves models; say or choose what serves one.

    With a name it says which program would serve that model, and why. With --engine or another option it chooses that
    first; an engine that runs goes on until it is idle.

    Example: shelf engines smol --engine llama --engine-arg threads=4
    """
    from modelshelf.bootstrap.engines import installed_engines
    from modelshelf.schemas.engines import BackendJson

    with at_the_edge(as_json=as_json):
        _choose(name, engine_change(engine, engine_arg, trust_remote_code, allow_pickle))
        if name is not None:
            view = _of_model(name)
            if as_json:
                output.as_json(view)
            else:
                _show_model(view)
            return
        found = [BackendJson.of(one) for one in installed_engines()]
        if as_json:
            output.as_json(found)
        else:
            _show(found)


def _choose(name: str | None, change: EngineChange) -> None:
    """Choose what serves a model, where something is to be another.

    Raises:
        BadInput: There is no name; or the engine isn't there, or doesn't take an argument.
        NotFound: There is no such model.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.errors import BadInput

    if change.is_empty:
        return
    if name is None:
        raise BadInput("Which model's engine?", hint="shelf engines NAME --engine ENGINE")
    with open_shelf(begins=False) as shelf:
        shelf.services.engine_chooser.choose(name, change)


def _of_model(name: str) -> ModelEngineJson:
    from modelshelf.bootstrap.engines import installed_engines
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.domain.backend_choice import verdicts
    from modelshelf.schemas.engines import ModelEngineJson

    library = open_library()
    facts, choice = chosen_for(library, name)
    return ModelEngineJson.of(library.model(name), facts, choice, verdicts(facts, installed_engines()))


def chosen_for(library: Library, name: str) -> tuple[ModelFacts, Choice]:
    """Return what a model is, and what serves it.

    Raises:
        NotFound: There is no such model.
        BadInput: Nothing serves it.
    """
    from modelshelf.bootstrap.engines import installed_engines, wished_engine
    from modelshelf.domain.backend_choice import choose_backend
    from modelshelf.services.catalog.facts import facts_of

    model = library.model(name)
    facts = facts_of(model, library.files(model.row))
    return facts, choose_backend(facts, installed_engines(), wished_engine(model.row).engine)


def _show(found: Sequence[BackendJson]) -> None:
    """Print what is installed."""
    rows = [
        [
            one.engine,
            Styled("yes", "green") if one.installed else "no",
            one.version,
            ", ".join(one.formats) or "any",
            one.detail or one.where or "any server that speaks OpenAI's protocol",
        ]
        for one in found
    ]
    output.table(["ENGINE", "HERE", "VERSION", "SERVES", "WHERE, OR WHY NOT"], rows, sentences=frozenset({4}))


def _show_model(view: ModelEngineJson) -> None:
    """Print what would serve a model."""
    needs = "unknown" if view.memory_bytes is None else format_size(view.memory_bytes)
    lines = [
        ("engine", view.engine),
        ("why", view.detail),
        ("answers", ", ".join(view.endpoints)),
        ("memory", needs),
        *((f"not {one.engine}", one.detail) for one in view.others if one.detail),
    ]
    for label, text in lines:
        output.fact(f"{label}:", text, 18, "dim")
