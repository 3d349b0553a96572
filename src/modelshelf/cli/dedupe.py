"""shelf dedupe."""

from __future__ import annotations

from dataclasses import asdict

from modelshelf.cli import render
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun, TierOption
from modelshelf.domain.jobs import JobKind


def dedupe(dry_run: DryRun = False, tier: TierOption = None, as_json: AsJson = False) -> None:
    """Store identical blobs of a tier once.

    Uses reflinks where the file system has them, hard links elsewhere.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.job_params import DedupeParams
    from modelshelf.schemas.garbage import DedupePlanJson

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run, begins=False) as shelf:
        if dry_run:
            view = [asdict(DedupePlanJson.of(*plan)) for plan in shelf.services.deduper.plan(DedupeParams(tier))]
            render.print_tier_items(view, "Would share", "share_bytes", as_json=as_json)
            return
        with job_progress("dedupe", JobKind.DEDUPE) as show:
            done = shelf.dedupe(tier, progress=show)
        render.print_tier_items(done, "Freed", "freed_bytes", as_json=as_json)
