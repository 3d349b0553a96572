"""shelf gc."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from modelshelf.cli import render
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun, TierOption
from modelshelf.domain.jobs import JobKind


def gc(
    dry_run: DryRun = False,
    tier: TierOption = None,
    quarantine: Annotated[bool, typer.Option("--quarantine", help="Delete quarantined files too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete leftovers that nothing references.

    These are orphan blobs, abandoned downloads, stale locks and empty folders.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.job_params import GcParams
    from modelshelf.schemas.garbage import GcPlanJson

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run, begins=False) as shelf:
        if dry_run:
            plans = shelf.services.collector.plan(GcParams(tier, quarantine))
            view = [asdict(GcPlanJson.of(*plan)) for plan in plans]
            render.print_tier_items(view, "Would free", "free_bytes", as_json=as_json)
            return
        with job_progress("gc", JobKind.GC) as show:
            done = shelf.gc(tier, quarantine=quarantine, progress=show)
        render.print_tier_items(done, "Freed", "freed_bytes", as_json=as_json)
        if not as_json and not any(one["freed_bytes"] for one in done):
            render.note_unregistered(shelf)
