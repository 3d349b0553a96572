"""shelf clean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output, render
from modelshelf.cli.ask import ask, is_answered
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.errors import BadInput
from modelshelf.units import format_size, parse_duration

if TYPE_CHECKING:
    from modelshelf.domain.clean import CleanPlan, CleanWish


def clean(
    unused: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Models unused for this long: 90d, 12w.")
    ] = None,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="Old revisions and second copies that no model needs.")
    ] = False,
    older: Annotated[
        bool, typer.Option("--older", help="Models that are registered again, at a newer commit.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: delete all that is listed.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """List what could go, and delete what you tick.

    Without an option all three kinds are listed, unused for 90 days. What is pinned, leased or in use stays.

    Example: shelf clean --unused 90d --revisions
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.clean import CleanedJson, CleanPlanJson

    with at_the_edge(as_json=as_json):
        wish = _wish(unused, revisions=revisions, older=older, yes=yes and not dry_run)
        asks = is_answered() and not (yes or as_json or dry_run)
        with open_shelf(read_only=dry_run or not (yes or asks), begins=False) as shelf:
            plan = shelf.services.cleaner.plan(wish, render.now_s())
            if not as_json:
                _show(plan)
                if not plan.items:
                    render.note_unregistered(shelf)
            going = _tick(plan, asks=asks, yes=yes and not dry_run)
            if not going:
                if as_json:
                    output.as_json(CleanPlanJson.of(plan))
                elif plan.items and not dry_run:
                    how = "" if asks else " To delete all that an option lists: shelf clean OPTION --yes"
                    output.note(f"Nothing was deleted.{how}")
                return
            done = CleanedJson.of(*shelf.services.cleaner.remove([plan.items[number] for number in going]))
        if as_json:
            output.as_json(done)
            return
        output.answer(f"Removed {len(done.removed)} of {len(going)}: freed {format_size(done.freed_allocated_bytes)}.")
        for why in done.left:
            output.note(f"left: {why}")


def _wish(unused: str | None, *, revisions: bool, older: bool, yes: bool) -> CleanWish:
    """Return what to list.

    Raises:
        BadInput: The duration is invalid, or everything would be deleted without a selection.
    """
    from modelshelf.domain.clean import CleanWish

    if unused is None and not revisions and not older:
        if yes:
            raise BadInput("What is to be deleted?", hint="Give --unused 90d, --revisions or --older with --yes.")
        return CleanWish()
    try:
        return CleanWish(None if unused is None else parse_duration(unused), revisions, older)
    except ValueError as err:
        raise BadInput(f"{err}") from err


def _tick(plan: CleanPlan, *, asks: bool, yes: bool) -> list[int]:
    """Return the numbers of what to remove, from 0."""
    from modelshelf.domain.clean import ticked

    count = len(plan.items)
    if yes or not count:
        return list(range(count))
    if asks:
        return ask("Which go? Numbers such as 1 3-5, all, or none", "none", lambda text: ticked(text, count))
    return []


def _show(plan: CleanPlan) -> None:
    """Print what could go, numbered, and what is kept."""
    rows = []
    for number, item in enumerate(plan.items, 1):
        what = item.model_name or f"{item.repo_id} at {item.commit_hash[:7]}"
        rows.append([str(number), item.kind.value, what, item.location, format_size(item.free_bytes), item.why])
    if rows:
        output.table(["", "KIND", "WHAT", "TIER", "FREES", "WHY"], rows, frozenset({0, 4}), frozenset({5}))
        output.answer(f"All of it would free {format_size(plan.free_bytes)}.")
    else:
        output.answer("Nothing could go.")
    for why in plan.kept:
        output.note(f"stays: {why}")
