"""shelf ls."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import complete, output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.cli.terminal import Styled
from modelshelf.domain.jobs import RUNNING
from modelshelf.domain.listing import Listing, Order, UnregisteredRepo, order_of
from modelshelf.domain.models import Model, State
from modelshelf.domain.tiers import CUSTOM
from modelshelf.units import format_size, many

if TYPE_CHECKING:
    from modelshelf.services.catalog.models import Library


def ls(
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also list repositories that aren't registered.")
    ] = False,
    text: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Only names and repositories that have this in them.")
    ] = "",
    sort: Annotated[
        str,
        typer.Option(
            metavar="name|size|used",
            help="By name, the largest first, or the one used last first.",
            autocompletion=complete.one_of("name", "size", "used"),
        ),
    ] = "name",
    names: Annotated[bool, typer.Option("--quiet", "-q", help="Print the names alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the models.

    Example: shelf ls --all --sort size
    """
    from modelshelf.bootstrap.read_only import open_library

    with at_the_edge(as_json=as_json):
        listing, library = Listing(text, order_of(sort)), open_library()
        found, strays = library.models(listing), _strays(library, listing) if everything else []
        if as_json:
            _print_json(found, strays, everything=everything)
        elif names:
            for name in (*(model.row.model_name for model in found), *(stray.hf_path for stray in strays)):
                output.line(name)
        else:
            _show(library, found, listing)
            _show_strays(strays)
            if everything and (old := library.reader.leaving()):
                go = "goes once nothing uses it" if len(old) == 1 else "go once nothing uses them"
                output.note(f"{many(len(old), 'old copy', 'old copies')} on the tiers {go}: shelf jobs")


def _none_yet(library: Library) -> str:
    from modelshelf.bootstrap.read_only import other_programs_models, unadopted_models

    found = unadopted_models(())
    if found.models:
        return f"No models yet, but {found.where}: {found.command}"
    if strays := _strays(library, Listing()):
        return f"No models yet, but {_have_no_name(strays)}: shelf ls --all"
    if place := other_programs_models():
        return f"No models yet, but another program's are in {place}: shelf adopt --all"
    return "No models yet. To add one: shelf add ORG/MODEL. Lost some? shelf reconcile"


def _strays(library: Library, listing: Listing) -> list[UnregisteredRepo]:
    from modelshelf.services.catalog.unregistered import unregistered

    strays = unregistered(library, listing.text)
    return sorted(strays, key=lambda stray: -stray.size_bytes) if listing.order is Order.SIZE else strays


def _print_json(found: Sequence[Model], strays: Sequence[UnregisteredRepo], *, everything: bool) -> None:
    from modelshelf.schemas.models import LibraryJson, ModelJson, UnregisteredRepoJson

    models = [ModelJson.of(model) for model in found]
    if not everything:
        output.as_json(models)
        return
    sizes = (_size_bytes(found), sum(stray.size_bytes for stray in strays))
    output.as_json(LibraryJson(models, sizes[0], [UnregisteredRepoJson.like(stray) for stray in strays], sizes[1]))


def _show(library: Library, found: Sequence[Model], listing: Listing) -> None:
    """Print the models."""
    if not found:
        output.note(f"No model has {listing.text} in its name or repository." if listing.text else _none_yet(library))
        return
    now_s = render.now_s()
    rows = [
        [
            model.row.model_name,
            model.row.hf_path,
            render.format_of(model),
            render.tier_of(model),
            format_size(model.row.size_bytes) if model.row.commit_hash else "?",
            _state(model),
            render.last_use(model, now_s),
        ]
        for model in found
    ]
    header = ["NAME", "REPO", "FORMAT", "TIER", "SIZE", "STATE", "LAST USE"]
    output.table(header, rows, frozenset({4}), whole=frozenset({5, 6}), spare=frozenset({1}), narrow=(2, 6, 3))
    if sys.stdout.isatty():  # a program counts rows
        output.line(f"{many(len(found), 'model')}, {format_size(_size_bytes(found))}")


def _show_strays(strays: Sequence[UnregisteredRepo]) -> None:
    """Print unregistered repositories on the tiers, and the commands that adopt them."""
    if not strays:
        return
    output.line("")
    rows = [
        [
            stray.hf_path,
            stray.cache_path if stray.cache_location == CUSTOM else stray.cache_location,
            format_size(stray.size_bytes),
        ]
        for stray in strays
    ]
    output.table(["NOT REGISTERED", "TIER", "SIZE"], rows, frozenset({2}))
    output.note(f"{_have_no_name(strays)}. To register:")
    for base in dict.fromkeys(stray.cache_path for stray in strays):
        output.note(f"  shelf adopt {shlex.quote(base)} --leave")
    output.note("To delete: shelf rm ORG/NAME --files")


def _have_no_name(strays: Sequence[UnregisteredRepo]) -> str:
    have = "has" if len(strays) == 1 else "have"
    size = format_size(sum(stray.size_bytes for stray in strays))
    return f"{many(len(strays), 'repository', 'repositories')} on the tiers ({size}) {have} no name"


def _size_bytes(found: Sequence[Model]) -> int:
    return sum(model.row.size_bytes for model in found)


_STYLES = {
    State.DOWNLOADING: "cyan",
    State.MOVING: "cyan",
    State.PARTIAL: "yellow",
    State.OFFLINE: "yellow",
    State.MISSING: "red",
    State.DAMAGED: "red",
    State.FAILED: "red",
}
"""Styles of states that need attention."""


def _state(model: Model) -> Styled:
    return Styled(_state_text(model), _STYLES.get(model.state, ""))


def _state_text(model: Model) -> str:
    row = model.row
    pin = " (pinned)" if row.pinned else ""
    if model.state in (State.PAUSED, State.DOWNLOADING) and row.job_total_bytes:
        return f"{model.state} {row.job_done_bytes / row.job_total_bytes:.0%}{pin}"
    if model.state is State.MOVING and row.job_state != RUNNING:
        return f"move {row.job_state}{pin}"
    return f"{model.state}{', may lack files' if model.is_unlisted else ''}{pin}"
