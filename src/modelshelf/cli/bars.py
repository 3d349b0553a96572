"""A job's progress: one line that is redrawn on a terminal, or a line every ten seconds without one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelshelf.cli import output
from modelshelf.cli.errors import second_interrupt_ends
from modelshelf.cli.fitting import cells, shorten
from modelshelf.cli.terminal import WISHES, columns, glyph, is_drawable
from modelshelf.domain.jobs import RUNNING, Job
from modelshelf.errors import Cancelled
from modelshelf.units import format_size

_LINE_EVERY_S = 10.0
_STEADY_S = 3.0
"""A phase has to last so long, in seconds, before its remaining time is shown."""
_BAR_CELLS = range(6, 31)
_LONGEST_ETA_S = 100 * 86400.0


@contextmanager
def job_progress(what: str) -> Iterator[Callable[[Job], None]]:
    """Show a job's progress on stderr, unless the user doesn't want it; say of a stopped job that it can go on.

    Args:
        what: What the job works on, for people.
    """
    try:
        with _shown(what) as show:
            yield show
    except (Cancelled, KeyboardInterrupt):
        second_interrupt_ends()
        output.note(
            "Stopped. What arrived is kept: run the same command again to go on, or leave it to a running server."
        )
        raise


@contextmanager
def _shown(what: str) -> Iterator[Callable[[Job], None]]:
    if WISHES.quiet or (WISHES.as_json and not sys.stderr.isatty()):  # a program expects only the error there
        yield lambda job: None
    elif is_drawable(sys.stderr):
        steady = Steady()
        try:
            yield lambda job: output.draw(drawn(what, job, steady.eta_s(job, time.monotonic()), columns(sys.stderr)))
        finally:
            output.draw("")
    else:
        lines = Lines(what, time.monotonic())
        yield lambda job: lines.say(job, time.monotonic())


@dataclass(slots=True)
class Steady:
    """Estimates a job's remaining time once its present phase has lasted long enough."""

    phase: tuple[str, int] = ("", 0)
    since_s: float = 0.0

    def eta_s(self, job: Job, now_s: float) -> float | None:
        """Return the remaining seconds; None while unknown."""
        if self.phase != (job.phase, job.total_bytes):
            self.phase, self.since_s = (job.phase, job.total_bytes), now_s
        eta_s = job.eta_s if now_s - self.since_s >= _STEADY_S and not job.detail else None
        return eta_s if eta_s is not None and eta_s < _LONGEST_ETA_S else None


@dataclass(slots=True)
class Lines:
    """Reports a job's progress without drawing."""

    what: str
    said_s: float
    """When it last printed something; at first, when the job began."""
    steady: Steady = field(default_factory=Steady)

    def say(self, job: Job, now_s: float) -> None:
        """Print the progress if it is time to."""
        eta_s = self.steady.eta_s(job, now_s)
        if now_s - self.said_s >= _LINE_EVERY_S:
            self.said_s = now_s
            output.note(said(self.what, job, eta_s))


def said(what: str, job: Job, eta_s: float | None) -> str:
    """Return a job's progress as a line for a log."""
    return f"{what}: {', '.join(filter(None, (_phase(job), _bytes(job), *pace(job, eta_s))))}"


def drawn(what: str, job: Job, eta_s: float | None, most: int) -> str:
    """Return a job's progress as a line for a terminal of `most` cells."""
    left = f"{shorten(what, max(most // 4, 12))} {_phase(job)}"
    right = "  ".join(filter(None, (_bytes(job), *pace(job, eta_s))))
    room = most - cells(left) - cells(right) - 5
    if job.total_bytes and room >= _BAR_CELLS.start:
        size = min(room, _BAR_CELLS.stop - 1)
        full = round(min(1.0, job.done_bytes / job.total_bytes) * size)
        left += "  " + glyph("█", "#", sys.stderr) * full + glyph("░", ".", sys.stderr) * (size - full)
    return shorten(f"{left}  {right}".rstrip(), most - 1)


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
