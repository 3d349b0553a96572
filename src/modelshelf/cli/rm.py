"""shelf rm."""

from __future__ import annotations

from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun, Name
from modelshelf.units import format_size


def rm(
    name: Name,
    files: Annotated[
        bool, typer.Option("--files", help="Delete the files too, unless another model needs them.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove a model; its files stay unless --files is given."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.plans import RemovalPlanJson, RemovedJson

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run) as shelf:
        if dry_run:
            plan = shelf.services.remover.plan(name, delete_files=files)
            if as_json:
                output.as_json(RemovalPlanJson.of(plan))
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
            output.as_json(RemovedJson.of(removed))
        elif files:
            output.answer(f"Removed {name}: freed {format_size(removed.freed.allocated_bytes)}.")
            if removed.kept:
                output.note(removed.kept)
        else:
            output.answer(f"Removed {name} from the library; its files stay where they are.")
