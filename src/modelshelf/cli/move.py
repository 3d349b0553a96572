"""shelf move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun, Name
from modelshelf.domain.jobs import JobKind
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.schemas.plans import MovePlanJson


def move(
    name: Name,
    to: Annotated[str, typer.Argument(metavar="primary|secondary|PATH", help="The new tier.")],
    dry_run: DryRun = False,
    keep_source: Annotated[bool, typer.Option("--keep-source", help="Keep the old copy.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move a model to another tier.

    The model can be loaded all the time.

    Example: shelf move qwen secondary
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.models import ModelJson
    from modelshelf.schemas.plans import MovePlanJson
    from modelshelf.services.space.tiers import destination

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run) as shelf:
        location, path = destination(to)
        if dry_run:
            plan = MovePlanJson.of(shelf.services.mover.plan(name, location, path, keep_source=keep_source))
            if as_json:
                output.as_json(plan)
            else:
                _show_plan(plan)
            return
        kept = shelf.services.mover.why_kept(name)
        render.print_evictions(shelf.services.mover.who_leaves(name, location, path), location)
        with output.job_progress(name) as show:
            model = shelf.move(name, location, path, keep_source=keep_source, progress=show)
        deletion = next(iter(shelf.jobs(kind=JobKind.DELETE_OLD_COPY, model_name=name)), None)
        if as_json:
            output.as_json(ModelJson.of(model))
            return
        output.answer(f"{name}: {model.state.value}, {format_size(model.row.size_bytes)} in {model.path}")
        if kept:
            output.note(kept)
        if deletion is not None and deletion.state == "failed":
            output.note(f"The old copy stays: {deletion.detail}")
        elif deletion is not None and deletion.state != "done":
            output.note(f"{deletion.detail} It is deleted when they end.")


def _show_plan(plan: MovePlanJson) -> None:
    """Print what a move will do."""
    how = {"copy": "copies", "link": "links", "reflink": "reflinks"}[plan.method]
    output.line(f"{plan.model_name}: {plan.from_path} → {plan.cache_path}")
    output.line(f"  {how} {format_size(plan.transfer_bytes)} of {format_size(plan.size_bytes)}")
    render.print_planned_evictions(plan)
    output.line("  keeps the old copy" if plan.keep_source else "  then deletes the old copy, once nobody uses it")
