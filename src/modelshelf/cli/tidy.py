"""Tidying up: gc, dedupe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.units import format_duration, format_size

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job
    from modelshelf.services.shelf import Shelf

TierOption = Annotated[
    str | None, typer.Option("--tier", metavar="primary|secondary|PATH", help="Only this tier; by default all.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


def gc(
    dry_run: DryRun = False,
    tier: TierOption = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Delete what lies in quarantine as well; it is kept otherwise.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what nothing references: orphan blobs, dead downloads, stale locks, empty folders."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import gc_plan_view

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run) as shelf:
        if dry_run:
            view = [gc_plan_view(found, plan) for found, plan in shelf.collector.plan(tier, quarantine=quarantine)]
            _show(view, "Would free", "free_bytes", as_json=as_json)
            return
        job = _finish(shelf, shelf.collector.enqueue(tier, quarantine=quarantine), "gc")
        _show(job, "Freed", "freed_bytes", as_json=as_json)


def dedupe(dry_run: DryRun = False, tier: TierOption = None, as_json: AsJson = False) -> None:
    """Let identical blobs of a tier share their bytes: by reflink, else by hard link."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import dedupe_plan_view

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run) as shelf:
        if dry_run:
            view = [dedupe_plan_view(found, plan) for found, plan in shelf.deduper.plan(tier)]
            _show(view, "Would share", "share_bytes", as_json=as_json)
            return
        job = _finish(shelf, shelf.deduper.enqueue(tier), "dedupe")
        _show(job, "Freed", "freed_bytes", as_json=as_json)


def _finish(shelf: Shelf, job: Job, what: str) -> list[dict[str, Any]]:
    from modelshelf.services.maintenance.gc import tiers_of

    with output.job_progress(what) as show:
        return list(tiers_of(shelf.finish(job, show)))


def _show(tiers: Sequence[Mapping[str, Any]], verb: str, total: str, *, as_json: bool) -> None:
    if as_json:
        output.as_json({"tiers": list(tiers), total: sum(tier[total] for tier in tiers)})
        return
    for tier in tiers:
        output.answer(f"{tier['cache_location']}  {tier['cache_path']}")
        rows = [
            [i["kind"], format_size(i["size_bytes"]), format_duration(i["age_s"]), i["path"], i["why"]]
            for i in tier["items"]
        ]
        if rows:
            output.table(["KIND", "SIZE", "AGE", "PATH", "WHY"], rows, frozenset({1, 2}))
        output.answer(f"{verb} {format_size(tier[total])}{_counted(tier['items'])}.")
        if tier.get("shared_bytes"):
            output.answer(f"{format_size(tier['shared_bytes'])} are on the disk once now, and counted by du for each.")
        if tier.get("quarantine_bytes"):
            output.note(f"{format_size(tier['quarantine_bytes'])} lie in quarantine: shelf gc --quarantine")
        if tier.get("recent_bytes"):
            size = format_size(tier["recent_bytes"])
            output.note(f"{size} more may be garbage: touched within the hour, or open in a program, and left alone.")
        for note in tier["notes"]:
            output.note(note)


def _counted(items: Iterable[Mapping[str, Any]]) -> str:
    """Return how many of which kind, in brackets; empty without any."""
    counts = Counter(item["kind"] for item in items)
    return f" ({', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))})" if counts else ""
