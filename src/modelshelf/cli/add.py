"""shelf add."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import complete, output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import (
    AllowPickle,
    AsJson,
    ChosenEngine,
    Detach,
    DryRun,
    EngineArguments,
    Now,
    TrustRemoteCode,
    Verbose,
    engine_change,
)
from modelshelf.cli.pull import pull_detached, pull_missing
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.models import Registration
    from modelshelf.domain.plans import AddPlan
    from modelshelf.schemas.plans import AddPlanJson
    from modelshelf.services.shelf import Shelf

_OF_A_FILE = re.compile(r"\.(gguf|safetensors|bin|json|jsonl|txt|md|model|py|pt|pth|onnx|jinja)$", re.IGNORECASE)
"""The ends of words that name a file, which may read like repositories: `onnx/model.onnx`."""


def add(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A name of your choice. Default: the repository's.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="ORG/MODEL, ORG/MODEL:Q4_K_M, or an address of the hub."),
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="primary|secondary|PATH", help="The tier.", autocompletion=complete.tiers)
    ] = "primary",
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="A branch, a tag or a commit hash. Default: main")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Take only files that match; repeat for more.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Leave out files that match; repeat for more.")
    ] = None,
    download: Annotated[bool, typer.Option("--download/--no-download", help="Download the files now.")] = True,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: of several quantisations take the best that fits.")
    ] = False,
    engine: ChosenEngine = None,
    engine_arg: EngineArguments = None,
    trust_remote_code: TrustRemoteCode = None,
    allow_pickle: AllowPickle = None,
    now: Now = False,
    detach: Detach = False,
    verbose: Verbose = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register a model and download it.

    Example: shelf add qwen Qwen/Qwen3-0.6B --to secondary
    """
    from modelshelf.bootstrap.read_only import hub_endpoint
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.cli.choose_quant import choose_quant
    from modelshelf.domain.patterns import excluding, patterns_of
    from modelshelf.domain.references import parse_reference
    from modelshelf.domain.weight_files import quantisation_in
    from modelshelf.services.lifecycle.register import registration

    with at_the_edge(as_json=as_json):
        chosen, text = _name_and_model(
            [word for word in (name, model, *context.args) if word is not None], include or ()
        )
        reference = parse_reference(text, hub_endpoint())
        patterns = (*(include or ()), *map(excluding, exclude or ()))
        wanted = registration(chosen, reference, to, revision=revision, allow_patterns=patterns)
        change = engine_change(engine, engine_arg, trust_remote_code, allow_pickle)
        with contextlib.ExitStack() as held:
            shelf = held.enter_context(open_shelf(read_only=dry_run, begins=False))
            if not change.is_empty:
                shelf.services.engine_chooser.check(change)
            quantisation = reference.quantisation or quantisation_in("".join(reference.patterns))
            if choice := choose_quant(shelf, wanted, chosen, may_ask=not as_json, yes=yes):
                wanted = replace(wanted, allow_patterns=patterns_of(choice.patterns))
                quantisation = choice.group.label
            if not chosen:
                wanted = shelf.services.registrar.with_name(wanted, quantisation)
            if dry_run:
                _print_plan(shelf.services.registrar.plan(wanted), as_json=as_json)
                return
            shelf = _begun(shelf, wanted, held)
            plan = shelf.services.registrar.register(wanted)
            if not change.is_empty:
                shelf.services.engine_chooser.choose(wanted.model_name, change)
            render.print_evictions(plan.makes_room, to)
            if download and detach and not plan.is_here:
                pull_detached(shelf, wanted.model_name, now=now)
            elif download or plan.is_here:
                with _told_as_registered(wanted.model_name):
                    pull_missing(shelf, wanted.model_name, now=now, files=verbose)
            render.print_model(shelf, wanted.model_name, as_json=as_json)


def _begun(shelf: Shelf, wanted: Registration, held: contextlib.ExitStack) -> Shelf:
    """Return the library, which begins with this model if it is new; what is refused begins none."""
    from modelshelf.bootstrap.shelf import open_shelf

    if shelf.services.registry.is_kept:
        return shelf
    shelf.services.registrar.plan(wanted)
    return held.enter_context(open_shelf())


def _name_and_model(words: list[str], include: Sequence[str]) -> tuple[str, str]:
    """Return the name, empty without one, and the text that names the model.

    Args:
        words: The words of the command line.
        include: The patterns that were given by option.

    Raises:
        BadInput: There are other words, such as more models, or the files that `hf download` takes.
    """
    from modelshelf.domain.references import is_reference
    from modelshelf.errors import BadInput

    if not words:
        raise BadInput("The model is missing.", hint="shelf add ORG/MODEL, or shelf add NAME ORG/MODEL")
    if len(words) == 1:
        return "", words[0]
    if len(words) == 2 and "/" not in words[0]:
        return words[0], words[1]
    if all("/" in word and is_reference(word) and not _OF_A_FILE.search(word) for word in words):
        each = ", then ".join(f"shelf add {shlex.quote(word)}" for word in words)
        raise BadInput("One model is added at a time.", hint=each)
    if len(words) == 2 and "/" in words[1]:
        hint = f"Give one without a slash: shelf add NAME {shlex.quote(words[1])}"
        raise BadInput(f"{words[0]!r:.100} isn't a model name.", hint=hint)
    model, *others = words if "/" in words[0] else words[1:]
    files = " ".join(f"--include {shlex.quote(other)}" for other in (*include, *others))
    name = others[0] if len(others) == 1 and re.fullmatch("[A-Za-z0-9_-]+", others[0]) else "NAME"
    raise BadInput(
        "One model is taken, and before it a name.",
        hint=f"To name it: shelf add {name} {model}. To take some of its files: shelf add {model} {files}",
    )


@contextlib.contextmanager
def _told_as_registered(name: str) -> Iterator[None]:
    """Say that a model is registered and its download has to wait."""
    from modelshelf.errors import Unavailable

    try:
        yield
    except Unavailable:
        output.note(
            f"Registered {name}. A running server downloads it when the hub is reachable; or run: shelf pull {name}"
        )
        raise


def _print_plan(plan: AddPlan, *, as_json: bool) -> None:
    from modelshelf.schemas.plans import AddPlanJson

    shown = AddPlanJson.of(plan)
    if as_json:
        output.as_json(shown)
    else:
        _show_plan(shown)


def _show_plan(plan: AddPlanJson) -> None:
    """Print what registering a model and pulling it will do."""
    output.line(f"{plan.model_name}: {plan.hf_path} ({plan.commit_hash or 'hub not reachable'}) → {plan.cache_path}")
    if plan.commit_hash is None:
        output.line("  registers it; its size is known once the hub is reachable")
    else:
        copied = f", copies {format_size(plan.copy_bytes)} from another tier" if plan.copy_bytes else ""
        output.line(f"  downloads {format_size(plan.fetch_bytes)} of {format_size(plan.size_bytes)}{copied}")
    render.print_planned_evictions(plan)
