"""shelf reconcile."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import typer

from modelshelf.cli import output
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.domain.jobs import JobKind
from modelshelf.units import format_size

_ACTIONS = {
    "new_id": "new id",
    "added": "model added",
    "placed": "model placed",
    "incomplete": "incomplete",
    "sidecar_written": "sidecar written",
    "sidecar_removed": "sidecar removed",
    "ref_set": "ref restored",
}


def reconcile(
    base: Annotated[
        list[str] | None, typer.Option("--base", metavar="PATH", help="Include this base; repeat for more.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring the registry and the disks together.

    The command finds models again that the registry lost, and reports what it changed. It deletes no model's files.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.reconcile import ReconciledJson

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run) as shelf:
        if dry_run:
            view = asdict(ReconciledJson.of(shelf.services.reconciler.plan(base or ())))
        else:
            with job_progress("reconcile", JobKind.RECONCILE) as show:
                view = shelf.reconcile(base or (), progress=show)
        if as_json:
            output.as_json(view)
        else:
            _show(view, dry_run=dry_run)


def _show(view: dict[str, Any], *, dry_run: bool) -> None:
    """Print what reconciling did or would do."""
    steps = [[_ACTIONS[s["action"]], s["model_name"], s["cache_path"], s["detail"]] for s in view["steps"]]
    if steps:
        output.table(["WOULD BE" if dry_run else "DONE", "MODEL", "BASE", "WHY"], steps, sentences=frozenset({3}))
    else:
        output.answer("Registry and disks agree: nothing to do.")
    for left in view["skipped"]:
        output.note(f"changed meanwhile, run it again: {left['model_name']} in {left['cache_path']}")
    for left in view["untouched"]:
        output.note(f"left as it is: {left['model_name']}: {left['detail']}")
    for found in view["unregistered"]:
        same = f", a second copy of {found['copy_of']}" if found["copy_of"] else ""
        where = f"{found['hf_path']} at {found['commit_hash'][:12]} in {found['cache_path']}"
        output.note(f"not registered: {where} ({format_size(found['size_bytes'])}){same}")
    for base in dict.fromkeys(found["cache_path"] for found in view["unregistered"] if not found["copy_of"]):
        output.note(f"To register: shelf adopt {shlex.quote(base)} --leave")
