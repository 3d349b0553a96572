"""shelf tiers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from modelshelf.cli import complete, output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.cli.terminal import glyph, width
from modelshelf.domain.tiers import SCARCE_ENTRIES, TierStatus
from modelshelf.domain.usage_history import TierHistory
from modelshelf.units import format_size

_BAR_CELLS = range(6, 31)
_DAYS = 90
_BREAKDOWN_NAMES = {
    "models": "models",
    "shared": "shared blobs",
    "partial": "partial downloads",
    "orphans": "orphans",
    "xet": "xet cache",
    "transformers": "old transformers/",
    "other": "other",
}


def tiers(
    as_json: AsJson = False,
    rescan: Annotated[bool, typer.Option("--rescan", help="Measure everything again.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show what each tier held in the last 90 days.")] = False,
    reset_marker: Annotated[
        str | None,
        typer.Option(
            metavar="BASE", help="Make a base that lost its marker a new, empty tier.", autocompletion=complete.bases
        ),
    ] = None,
) -> None:
    """Show each tier: its limit, usage and free space."""
    from modelshelf.bootstrap.doctor_and_setup import reset_marker as start
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.tiers import TierJson

    with at_the_edge(as_json=as_json):
        if reset_marker is not None:
            start(reset_marker)
        with open_shelf(read_only=True) as shelf:
            if history:
                _show_history(shelf.services.history.of_tiers(_DAYS), as_json=as_json)
                return
            found = shelf.tiers(rescan=rescan)
        if as_json:
            output.as_json([TierJson.of(status) for status in found])
        else:
            _show(found)


def _show_history(found: Sequence[TierHistory], *, as_json: bool) -> None:
    """Print what tiers held over time, the newest last."""
    from modelshelf.schemas.history import TierHistoryJson

    shown = [TierHistoryJson.of(one) for one in found]
    if as_json:
        output.as_json(shown)
        return
    for one in shown:
        output.fact(one.cache_location, one.cache_path, len(one.cache_location) + 2, "bold")
        most = max([point.usage_bytes for point in one.points] + [point.limit_bytes or 0 for point in one.points] + [1])
        for point in one.points:
            at = point.at[:16].replace("T", " ")
            output.line(f"  {at}  {_bar(point.usage_bytes, most, _bar_cells(30))}{format_size(point.usage_bytes):>10}")
        if not one.points:
            output.line("  nothing was noted yet")


def _show(found: Sequence[TierStatus]) -> None:
    """Print each tier's bar and usage."""
    for i, status in enumerate(found):
        if i:
            output.line("")
        _show_tier(status)


def _show_tier(status: TierStatus) -> None:
    tier = status.tier
    output.fact(tier.location, tier.base, len(tier.location) + 2, "bold")
    if not status.online:
        output.fact("  offline: ", status.detail, 11, "yellow")
        return
    held = status.held_bytes
    if tier.limit_bytes is None:
        whole, of = held + status.free_bytes, f"{format_size(held)}, no limit"
    else:
        whole, of = tier.limit_bytes, f"{format_size(held)} of {format_size(tier.limit_bytes)}"
    mark = "  !" if status.warning else ""
    style = "red" if whole and held > whole else "yellow" if status.warning else ""
    room = _bar_cells(9 + len(of + mark))
    output.fact(f"  {_bar(held, whole, room)} {held / whole if whole else 0:4.0%}  ", f"{of}{mark}", room + 9, style)
    if status.detail:
        output.fact("", status.detail, 2)
    if not status.writable:
        output.fact("", "read-only: models can be loaded, but nothing can be written", 2)
    for weakness in status.capabilities.weaknesses if status.capabilities else ():
        output.fact("", weakness, 2)
    output.line(f"  {'on disk':<18}{format_size(status.usage.allocated_bytes):>10}")
    output.line(f"  {'free on its disk':<18}{format_size(status.free_bytes):>10}")
    if status.free_entries is not None and status.free_entries < SCARCE_ENTRIES:
        output.line(f"  {'entries left':<18}{status.free_entries:>10}  (inodes: each file, folder or link takes one)")
    if status.reserved_bytes:
        output.line(f"  {'reserved':<18}{format_size(status.reserved_bytes):>10}")
    for kind, size_bytes in status.usage.breakdown.items():
        if size_bytes:
            output.line(f"  {_BREAKDOWN_NAMES[kind]:<18}{format_size(size_bytes):>10}")


def _bar_cells(beside: int) -> int:
    """Return how long a bar is in a line with so many other cells."""
    room = (width(sys.stdout) or _BAR_CELLS.stop + beside) - beside
    return max(_BAR_CELLS.start, min(room, _BAR_CELLS.stop - 1))


def _bar(held_bytes: int, whole_bytes: int, room: int) -> str:
    share = min(1.0, held_bytes / whole_bytes) if whole_bytes else 0.0
    full = round(share * room)
    filled, empty = glyph("█", "#", sys.stdout), glyph("░", ".", sys.stdout)
    return filled * full + empty * (room - full)
