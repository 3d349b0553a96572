"""shelf move."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import complete, meant, output, render, several
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.domain.jobs import JobKind
from modelshelf.domain.tiers import PRIMARY, SECONDARY
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.schemas.models import ModelJson
    from modelshelf.schemas.plans import MovePlanJson
    from modelshelf.services.shelf import Shelf


def move(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="The models.",
            autocompletion=complete.model_names_and_tiers,
            callback=meant.several,
        ),
    ],
    to: Annotated[str, typer.Argument(metavar="primary|secondary|PATH", help="The new tier.")],
    dry_run: DryRun = False,
    keep_source: Annotated[bool, typer.Option("--keep-source", help="Keep the old copy.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move models to another tier.

    A model can be loaded all the time.

    Example: shelf move qwen secondary
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.errors import BadInput
    from modelshelf.schemas.plans import MovePlanJson
    from modelshelf.services.space.tiers import destination

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run, begins=False) as shelf:
        try:
            location, path = destination(to)
        except BadInput as err:
            raise BadInput(err.detail, hint=_instead(err.hint, names, to), **err.fields) from None
        known, mover = several.known(shelf, names), shelf.services.mover
        if dry_run or len(known) > 1:
            plans = [MovePlanJson.of(mover.plan(name, location, path, keep_source=keep_source)) for name in known]
        if not dry_run:
            work = partial(_move, shelf, location=location, path=path, keep_source=keep_source, quiet=as_json)
            several.end(*several.of_each(known, work, as_json=as_json), as_json=as_json)
        elif as_json:
            several.end(plans, 0, as_json=True)
        else:
            for plan in plans:
                _show_plan(plan)


def _instead(hint: str, names: list[str], to: str) -> str:
    """Return what to type instead of a tier that isn't one: the words the other way round, or another verb."""
    if names[0] in (PRIMARY, SECONDARY):
        return f"The tier comes last: shelf move {shlex.join([*names[1:], to])} {names[0]}"
    return f"{hint} To give a model another name: shelf rename NAME {to}" if to else hint


def _move(shelf: Shelf, name: str, *, location: str, path: str | None, keep_source: bool, quiet: bool) -> ModelJson:
    """Move one model, and print the result and what happens to its old copy."""
    from modelshelf.schemas.models import ModelJson

    kept = shelf.services.mover.why_kept(name)
    render.print_evictions(shelf.services.mover.who_leaves(name, location, path), location)
    with job_progress(name, JobKind.MOVE) as show:
        model = shelf.move(name, location, path, keep_source=keep_source, progress=show)
    deletion = next(iter(shelf.jobs(kind=JobKind.DELETE_OLD_COPY, model_name=name)), None)
    if quiet:
        return ModelJson.of(model)
    output.answer(f"{name}: {model.state.value}, {format_size(model.row.size_bytes)} in {model.path}")
    if kept:
        output.note(kept)
    if not keep_source:
        render.print_old_copy(deletion)
    return ModelJson.of(model)


def _show_plan(plan: MovePlanJson) -> None:
    """Print what a move will do."""
    how = {"copy": "copies", "link": "links", "reflink": "reflinks"}[plan.method]
    output.line(f"{plan.model_name}: {plan.from_path} → {plan.cache_path}")
    output.line(f"  {how} {format_size(plan.transfer_bytes)} of {format_size(plan.size_bytes)}")
    render.print_planned_evictions(plan)
    output.line("  keeps the old copy" if plan.keep_source else "  then deletes the old copy, once nobody uses it")
