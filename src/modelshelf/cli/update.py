"""shelf update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output, render, several
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun, Names
from modelshelf.domain.jobs import JobKind
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.schemas.plans import UpdatePlanJson
    from modelshelf.services.shelf import Shelf


def update(
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Update every model.")] = False,
    dry_run: DryRun = False,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Keep the old snapshot.")] = False,
    as_json: AsJson = False,
) -> None:
    """Update models to the newest commit of their revision.

    The old commit can be used until the new one is complete.

    Example: shelf update --all --dry-run
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.errors import BadInput
    from modelshelf.schemas.plans import UpdatePlanJson

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run, begins=False) as shelf:
        if bool(names) == every:
            raise BadInput("Name the models, or give --all.", hint="shelf ls lists them.")

        def update_one(name: str) -> UpdatePlanJson:
            plan = shelf.services.updater.plan(name, keep_old=keep_old)
            view = UpdatePlanJson.of(plan)
            if not as_json:
                _show_plan(view, dry_run=dry_run)
            if not dry_run:
                _carry_out(shelf, name, keep_old=keep_old, quiet=as_json or plan.is_current)
            return view

        known = several.known(shelf, names or [model.model_name for model in shelf.models()])
        done, code = several.of_each(known, update_one, as_json=as_json)
        if as_json:
            output.as_json(done)
    if code:
        raise SystemExit(code)


def _carry_out(shelf: Shelf, name: str, *, keep_old: bool, quiet: bool) -> None:
    with job_progress(name, JobKind.UPDATE) as show:
        model = shelf.update(name, keep_old=keep_old, progress=show)
    if not quiet:
        output.answer(f"{name}: {model.state.value} at {(model.row.commit_hash or '')[:12]} in {model.path}")
        for job in shelf.jobs(kind=JobKind.DELETE_OLD_COPY, model_name=name, unfinished=True):
            render.print_old_copy(job)


def _show_plan(plan: UpdatePlanJson, *, dry_run: bool) -> None:
    """Print what an update does, or that there is nothing newer."""
    name, new = plan.model_name, str(plan.new_commit)[:12]
    if plan.is_current:
        newest = f" is at the newest commit of {plan.revision}: {new}"
        output.note(name + (f": {plan.note}" if plan.note else newest))
        return
    verb = "would update" if dry_run else "updates"
    output.note(
        f"{name} {verb} {plan.revision} from {str(plan.old_commit)[:12]} to {new}:"
        f" downloads {format_size(plan.fetch_bytes)} of {format_size(plan.size_bytes)},"
        f" shares {format_size(plan.shared_bytes)} with the old commit"
    )
