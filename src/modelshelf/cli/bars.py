"""A job's progress: one line that is redrawn on a terminal, or a line every ten seconds without one.

On request, a line for each file that it works on comes below.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelshelf.cli import output
from modelshelf.cli.fitting import cells, shorten
from modelshelf.cli.terminal import WISHES, columns, glyph, is_drawable, rows
from modelshelf.domain.job_files import MOST_LISTED, files_of
from modelshelf.domain.jobs import ENDS_WITH_ITS_COMMAND, RUNNING, Job
from modelshelf.errors import Cancelled
from modelshelf.units import format_size

_LINE_EVERY_S = 10.0
_STEADY_S = 3.0
"""A phase has to last so long, in seconds, before its remaining time is shown."""
_RATE_S = 10.0
"""The rate is that of so many seconds: after a stall, of which a job's detail tells, the pause is in it."""
_BAR_CELLS = range(6, 31)
_GO_ON = "What arrived is kept: run the same command again to go on, or leave it to a running server."
_ANEW = "Run the same command again to begin anew."


@contextmanager
def job_progress(what: str, kind: str, *, files: bool = False) -> Iterator[Callable[[Job], None]]:
    """Show a job's progress on stderr, unless the user doesn't want it; say of a stopped job whether it can go on.

    Args:
        what: What the job works on, for people.
        kind: A `JobKind`.
        files: Whether to show each file that it works on, too.
    """
    try:
        with _shown(what, files=files) as show:
            yield show
    except (Cancelled, KeyboardInterrupt):
        output.note(f"Stopped. {_ANEW if kind in ENDS_WITH_ITS_COMMAND else _GO_ON}")
        raise


@contextmanager
def _shown(what: str, *, files: bool) -> Iterator[Callable[[Job], None]]:
    if WISHES.quiet or (WISHES.as_json and not sys.stderr.isatty()):  # a program expects only the error there
        yield lambda job: None
    elif is_drawable(sys.stderr):
        steady = Steady()

        def draw(job: Job) -> None:
            most = columns(sys.stderr)
            below = file_lines(job, most, max(1, rows(sys.stderr) - 2)) if files else []
            output.draw("\n".join([drawn(what, job, steady.eta_s(job, time.monotonic()), most), *below]))

        try:
            yield draw
        finally:
            output.draw("")
    else:
        lines = Lines(what, time.monotonic(), files)
        yield lambda job: lines.say(job, time.monotonic())


@dataclass(slots=True)
class Steady:
    """Estimates a job's remaining time once its present phase has lasted long enough."""

    phase: tuple[str, int] = ("", 0)
    known_from_s: float = 0.0
    """When the rate tells something of what is left."""

    def eta_s(self, job: Job, now_s: float) -> float | None:
        """Return the remaining seconds; None while unknown."""
        if self.phase != (job.phase, job.total_bytes):
            self.phase, self.known_from_s = (job.phase, job.total_bytes), now_s + _STEADY_S
        if job.detail:
            self.known_from_s = now_s + _RATE_S
        return job.eta_s if now_s >= self.known_from_s else None


@dataclass(slots=True)
class Lines:
    """Reports a job's progress without drawing."""

    what: str
    said_s: float
    """When it last printed something; at first, when the job began."""
    files: bool = False
    """Whether to name the files that it works on."""
    steady: Steady = field(default_factory=Steady)

    def say(self, job: Job, now_s: float) -> None:
        """Print the progress if it is time to."""
        eta_s = self.steady.eta_s(job, now_s)
        if now_s - self.said_s >= _LINE_EVERY_S:
            self.said_s = now_s
            output.note(
                "\n".join([said(self.what, job, eta_s), *(file_lines(job, 0, MOST_LISTED) if self.files else ())])
            )


def said(what: str, job: Job, eta_s: float | None) -> str:
    """Return a job's progress as a line for a log."""
    return f"{what}: {', '.join(filter(None, (_phase(job), _bytes(job), *pace(job, eta_s))))}"


def drawn(what: str, job: Job, eta_s: float | None, most: int) -> str:
    """Return a job's progress as a line for a terminal of `most` cells."""
    left = f"{shorten(what, max(most // 4, 12))} {_phase(job)}"
    right = "  ".join(filter(None, (_bytes(job), *pace(job, eta_s))))
    room = most - cells(left) - cells(right) - 5
    if job.total_bytes and room >= _BAR_CELLS.start:
        left += f"  {_bar(job.done_bytes, job.total_bytes, room)}"
    return shorten(f"{left}  {right}".rstrip(), most - 1)


def file_lines(job: Job, most: int, most_lines: int) -> list[str]:
    """Return a line for each file that a job works on, and one that counts those that are whole.

    Args:
        job: The job.
        most: The terminal's cells; 0 without one: no bars, and no name is shortened.
        most_lines: At most so many.
    """
    files = files_of(job.files)
    if not files.total:
        return []
    going = [file for file in files.listed if file.done_bytes < file.total_bytes][: most_lines - 1]
    lines = [f"  {files.done} of {files.total} files"]
    for file in going:
        right = f"{format_size(file.done_bytes)} of {format_size(file.total_bytes)}"
        if most:
            name = shorten(file.path, max(most // 2, 12))
            room = most - cells(name) - cells(right) - 7
            bar = f"  {_bar(file.done_bytes, file.total_bytes, room)}" if room >= _BAR_CELLS.start else ""
            lines.append(shorten(f"  {name}{bar}  {right}", most - 1))
        else:
            lines.append(f"  {file.path}: {right}")
    return lines


def _bar(done: int, total: int, room: int) -> str:
    size = min(room, _BAR_CELLS.stop - 1)
    full = round(min(1.0, done / total) * size)
    return glyph("█", "#", sys.stderr) * full + glyph("░", ".", sys.stderr) * (size - full)


def _phase(job: Job) -> str:
    return (job.phase if job.state == RUNNING else "") or job.state


def _bytes(job: Job) -> str:
    return f"{format_size(job.done_bytes)} of {format_size(job.total_bytes)}" if job.total_bytes else ""


def pace(job: Job, eta_s: float | None) -> tuple[str, ...]:
    """Return the rate and remaining time, or what the job waits for."""
    if job.detail or job.state != RUNNING or not job.total_bytes:
        return (job.detail,)
    return f"{format_size(job.rate_bytes_per_s)}/s", f"ETA {_left(eta_s)}"


def _left(eta_s: float | None) -> str:
    if eta_s is None:
        return "--"
    minutes, seconds = divmod(round(eta_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
