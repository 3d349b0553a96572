"""The only printer: the answer to stdout, everything else to stderr; a table for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modelshelf.cli.visible import visible
from modelshelf.schemas.json_object import to_json
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job


def answer(text: str) -> None:
    """Print the answer of a command: for a program as it is, for a terminal as it may be shown."""
    print(visible(text, lines=True) if sys.stdout.isatty() else text)


def line(text: str) -> None:
    """Print one line of an answer for people."""
    print(visible(text))


def note(text: str, end: str = "\n") -> None:
    """Print something beside the answer."""
    print(visible(text, lines=True), end=end, file=sys.stderr, flush=True)


def as_json(value: Any) -> None:
    """Print a value for programs."""
    print(visible(to_json(value, indent=2, ensure_ascii=False), lines=True))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
    """Print a table.

    Args:
        header: The columns' names.
        rows: Their cells.
        right: The columns that are flush right.
    """
    shown = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in shown) for i in range(len(header))]
    for row in shown:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        line("  ".join(cells).rstrip())


@contextmanager
def job_progress(what: str) -> Iterator[Callable[[Job], None]]:
    """Show a job's progress on stderr: a bar for a person, nothing where stderr isn't a terminal."""
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
