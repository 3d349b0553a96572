"""The only printer: the answer to stdout, everything else to stderr; a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modelshelf.domain.models import FileEntry, Model, State
from modelshelf.domain.tiers import TierStatus
from modelshelf.units import format_age, format_duration, format_size, rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job
    from modelshelf.domain.leases import Lease

Cell = str | int
_BAR_CELLS = 30
_BREAKDOWN_NAMES = {
    "models": "models",
    "shared": "shared blobs",
    "partial": "partial downloads",
    "orphans": "orphans",
    "xet": "xet cache",
    "transformers": "old transformers/",
    "other": "other",
}


def answer(text: str) -> None:
    """Print the answer of a command."""
    print(text)


def note(text: str) -> None:
    """Print something beside the answer."""
    print(text, file=sys.stderr)


def as_json(value: Any) -> None:
    """Print a value for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
    """Print a table.

    Args:
        header: The columns' names.
        rows: Their cells.
        right: The columns that are flush right.
    """
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def models(found: Sequence[Model], now_s: float) -> None:
    """Print the library."""
    if not found:
        note("No models yet: shelf add NAME ORG/MODEL")
        return
    rows = [
        [
            model.row.model_name,
            model.row.hf_path,
            _tier(model),
            format_size(model.row.size_bytes) if model.row.commit_hash else "?",
            _state(model),
            _last_use(model, now_s),
        ]
        for model in found
    ]
    table(["NAME", "REPO", "TIER", "SIZE", "STATE", "LAST USE"], rows, frozenset({3}))


def _tier(model: Model) -> str:
    return model.base if model.row.cache_location == "custom" else model.row.cache_location


def _state(model: Model) -> str:
    row = model.row
    pin = " (pinned)" if row.pinned else ""
    if model.state is State.DOWNLOADING and row.job_total_bytes:
        return f"downloading {row.job_done_bytes / row.job_total_bytes:.0%}{pin}"
    return f"{model.state.value}{pin}"


def _last_use(model: Model, now_s: float) -> str:
    return "never" if model.row.last_used_at is None else format_age(model.row.last_used_at, now_s)


def model(found: Model, files: Sequence[FileEntry], now_s: float) -> None:
    """Print one model with its files."""
    row = found.row
    facts = [
        ("name", row.model_name),
        ("repo", f"{row.hf_path} ({row.revision})"),
        ("commit", row.commit_hash or "not known yet"),
        ("tier", f"{row.cache_location} ({found.base})"),
        ("folder", found.path or "none yet"),
        ("state", found.state.value + (f": {found.detail}" if found.detail else "")),
        ("size", f"{format_size(row.size_bytes)} ({row.size_bytes} bytes)" if row.commit_hash else "not known yet"),
        ("files", ", ".join(row.allow_patterns) or "all"),
        ("pinned", "yes" if row.pinned else "no"),
        ("used", f"{row.uses} times, {_last_use(found, now_s)}" if row.uses else "never"),
    ]
    for name, value in facts:
        print(f"{name + ':':<8} {value}")
    if files:
        print()
        rows = [[file.path, format_size(file.size_bytes), file.digest] for file in files]
        table(["FILE", "SIZE", "DIGEST"], rows, frozenset({1}))


def tiers(found: Sequence[TierStatus]) -> None:
    """Print each tier's bar and what it holds."""
    for i, status in enumerate(found):
        if i:
            print()
        _tier_status(status)


def _tier_status(status: TierStatus) -> None:
    tier = status.tier
    print(f"{tier.location}  {tier.base}")
    if not status.online:
        print(f"  offline: {status.detail}")
        return
    held = status.usage.apparent_bytes + status.reserved_bytes
    if tier.limit_bytes is None:
        whole, of = held + status.free_bytes, f"{format_size(held)}, no limit"
    else:
        whole, of = tier.limit_bytes, f"{format_size(held)} of {format_size(tier.limit_bytes)}"
    mark = "  !" if status.warning else ""
    print(f"  {_bar(held, whole)} {held / whole if whole else 0:4.0%}  {of}{mark}")
    if status.detail:
        print(f"  {status.detail}")
    print(f"  {'on disk':<18}{format_size(status.usage.allocated_bytes):>10}")
    print(f"  {'free on its disk':<18}{format_size(status.free_bytes):>10}")
    if status.reserved_bytes:
        print(f"  {'reserved':<18}{format_size(status.reserved_bytes):>10}")
    for kind, size_bytes in status.usage.breakdown.items():
        if size_bytes:
            print(f"  {_BREAKDOWN_NAMES[kind]:<18}{format_size(size_bytes):>10}")


def _bar(held_bytes: int, whole_bytes: int) -> str:
    share = min(1.0, held_bytes / whole_bytes) if whole_bytes else 0.0
    full = round(share * _BAR_CELLS)
    filled, empty = ("█", "░") if (sys.stdout.encoding or "").lower().startswith("utf") else ("#", ".")
    return filled * full + empty * (_BAR_CELLS - full)


def jobs(found: Sequence[Job]) -> None:
    """Print jobs, newest first."""
    rows = [
        [
            str(job.id),
            job.kind,
            job.model_name,
            job.state,
            f"{format_size(job.done_bytes)} of {format_size(job.total_bytes)}",
            job.detail,
        ]
        for job in found
    ]
    table(["JOB", "KIND", "MODEL", "STATE", "DONE", "DETAIL"], rows)


def add_plan(plan: dict[str, Any]) -> None:
    """Print what registering a model and pulling it will do."""
    print(
        f"{plan['model_name']}: {plan['hf_path']} ({plan['commit_hash'] or 'hub out of reach'}) → {plan['cache_path']}"
    )
    print(f"  fetches {format_size(plan['fetch_bytes'])} of {format_size(plan['size_bytes'])}")
    for victim in plan["makes_room"]:
        print(f"  makes room: {victim['model_name']} ({format_size(victim['free_bytes'])}) leaves")


def move_plan(plan: dict[str, Any]) -> None:
    """Print what a move will do."""
    how = {"copy": "copies", "link": "links", "reflink": "reflinks"}[plan["method"]]
    print(f"{plan['model_name']}: {plan['from_path']} → {plan['cache_path']}")
    print(f"  {how} {format_size(plan['transfer_bytes'])} of {format_size(plan['size_bytes'])}")
    print("  keeps the old copy" if plan["keep_source"] else "  then deletes the old copy, when nobody uses it")


def leases(held: Sequence[Lease]) -> None:
    """Print leases."""
    rows = [[str(lease.id), lease.model_name, lease.kind, lease.holder, rfc3339(lease.expires_at)] for lease in held]
    table(["LEASE", "MODEL", "KIND", "HOLDER", "UNTIL"], rows)


@contextmanager
def job_progress(what: str) -> Iterator[Callable[[Job], None]]:
    """Show a job's progress on stderr: a bar for a person, nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda job: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[rate]}")]
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, rate="")

        def show(job: Job) -> None:
            rate = f"{format_size(job.rate_bytes_per_s)}/s" if job.rate_bytes_per_s else ""
            text = f"{what} {job.phase or job.state}"
            progress.update(task, description=text, completed=job.done_bytes, total=job.total_bytes or None, rate=rate)

        yield show


def trial(model_name: str, view: dict[str, Any]) -> None:
    """Print what loading a model and asking it took."""
    print(f"{model_name}: {view['answer']}")
    note(
        f"loaded in {format_duration(view['load_s'])}, answered in {format_duration(view['answer_s'])},"
        f" {format_size(view['memory_bytes'])} of memory"
    )


def exports(variables: dict[str, str | None]) -> None:
    """Print shell lines that set and unset variables."""
    import shlex

    for name, value in variables.items():
        print(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
