"""Changing: add, pull, rm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.eviction import EvictionPlan
    from modelshelf.domain.plans import AddPlan
    from modelshelf.services.shelf import Shelf


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your name for the model.")],
    hf_path: Annotated[str, typer.Argument(metavar="HF_PATH", help="The repository, ORG/NAME.")],
    to: Annotated[str, typer.Option(metavar="primary|secondary|PATH", help="Where it goes.")] = "primary",
    revision: Annotated[str, typer.Option(help="A branch, a tag or a commit hash.")] = "main",
    include: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only files that match; can be repeated.")
    ] = None,
    download: Annotated[bool, typer.Option("--download/--no-download", help="Fetch its files now.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register a model and download it."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.services.lifecycle.register import registration

    with at_the_edge(as_json=as_json):
        wanted = registration(name, hf_path, to, revision=revision, allow_patterns=tuple(include or ()))
        with open_shelf(read_only=dry_run) as shelf:
            if dry_run:
                _print_plan(shelf.registrar.plan(wanted), as_json=as_json)
                return
            plan = shelf.registrar.register(wanted)
            print_evictions(plan.makes_room, to)
            if download or plan.is_here:
                with _told_as_registered(name):
                    _pull(shelf, name)
            _print_model(shelf, name, as_json=as_json)


def print_evictions(makes_room: EvictionPlan | None, to: str) -> None:
    """Name the models that are about to be pushed out of a tier."""
    for victim in makes_room.victims if makes_room else ():
        output.note(f"Making room: {victim.model_name} ({format_size(victim.free_bytes)}) leaves {to}.")


@contextmanager
def _told_as_registered(name: str) -> Iterator[None]:
    """Say that a model is registered though its download has to wait."""
    from modelshelf.errors import Unavailable

    try:
        yield
    except Unavailable:
        output.note(f"{name} is registered; its download waits, for a running server or: shelf pull {name}")
        raise


def pull(name: Name, as_json: AsJson = False) -> None:
    """Download what is missing of a registered model."""
    from modelshelf.bootstrap.shelf import open_shelf

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        shelf.library.row(name)
        _pull(shelf, name)
        _print_model(shelf, name, as_json=as_json)


def rm(
    name: Name,
    files: Annotated[
        bool, typer.Option("--files", help="Delete its files too, where nothing else needs them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget a model; its files stay unless --files is given."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import removed_view

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run) as shelf:
        if dry_run:
            plan = shelf.remover.plan(name, delete_files=files)
            if as_json:
                output.as_json({"removed_files": [*plan.links, *plan.blobs], "free_bytes": plan.free_bytes})
                return
            for path in (*plan.links, *plan.blobs):
                output.answer(path)
            output.note(f"Would free {format_size(plan.free_bytes)}.")
            return
        removed = shelf.remove(name, delete_files=files)
        if removed.needed_by:
            adapters = ", ".join(removed.needed_by)
            output.note(f"{adapters} can't be loaded without {removed.plan.repo_id}, the base model.")
        if as_json:
            output.as_json(removed_view(removed))
        elif files:
            output.answer(f"Removed {name}: freed {format_size(removed.freed.allocated_bytes)}.")
            if removed.kept:
                output.note(removed.kept)
        else:
            output.answer(f"Forgot {name}; its files stay where they are.")


def _print_plan(plan: AddPlan, *, as_json: bool) -> None:
    from modelshelf.schemas.views import add_view

    view = add_view(plan)
    if as_json:
        output.as_json(view)
    else:
        output.add_plan(view)


def _pull(shelf: Shelf, name: str) -> None:
    with output.job_progress(name) as show:
        shelf.pull(name, show)


def _print_model(shelf: Shelf, name: str, *, as_json: bool) -> None:
    from modelshelf.schemas.views import model_view

    model = shelf.model(name)
    if as_json:
        output.as_json(model_view(model))
    else:
        output.answer(f"{name}: {model.state.value}, {format_size(model.row.size_bytes)} in {model.path or model.base}")
