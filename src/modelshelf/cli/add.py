"""shelf add."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.cli.pull import pull_missing
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.plans import AddPlan
    from modelshelf.schemas.plans import AddPlanJson


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of your choice.")],
    hf_path: Annotated[str, typer.Argument(metavar="HF_PATH", help="The repository on the hub: ORG/NAME.")],
    to: Annotated[str, typer.Option(metavar="primary|secondary|PATH", help="The tier.")] = "primary",
    revision: Annotated[str, typer.Option(metavar="REVISION", help="A branch, a tag or a commit hash.")] = "main",
    include: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Take only files that match; repeat for more.")
    ] = None,
    download: Annotated[bool, typer.Option("--download/--no-download", help="Download the files now.")] = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register a model and download it.

    Example: shelf add qwen Qwen/Qwen3-0.6B --to secondary
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.services.lifecycle.register import registration

    with at_the_edge(as_json=as_json):
        wanted = registration(name, hf_path, to, revision=revision, allow_patterns=tuple(include or ()))
        with open_shelf(read_only=dry_run) as shelf:
            if dry_run:
                _print_plan(shelf.services.registrar.plan(wanted), as_json=as_json)
                return
            plan = shelf.services.registrar.register(wanted)
            render.print_evictions(plan.makes_room, to)
            if download or plan.is_here:
                with _told_as_registered(name):
                    pull_missing(shelf, name)
            render.print_model(shelf, name, as_json=as_json)


@contextmanager
def _told_as_registered(name: str) -> Iterator[None]:
    """Say that a model is registered though its download has to wait."""
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
        output.line(f"  downloads {format_size(plan.fetch_bytes)} of {format_size(plan.size_bytes)}")
    render.print_planned_evictions(plan)
