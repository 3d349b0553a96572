"""How far a job is: one line that is drawn anew on a terminal, and a line every ten seconds where there is none."""

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
"""A phase that is younger says nothing of how long it will take."""
_BAR_CELLS = range(6, 31)
_LONGEST_ETA_S = 100 * 86400.0


@contextmanager
def job_progress(what: str) -> Iterator[Callable[[Job], None]]:
    """Show a job's progress on stderr, unless nobody wants it; say of one that is stopped that it can go on.

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
    if WISHES.quiet or (WISHES.as_json and not sys.stderr.isatty()):  # a program reads the error there, alone
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
    """Says how long a job will take, once its present phase has lasted long enough to tell."""

    phase: tuple[str, int] = ("", 0)
    since_s: float = 0.0

    def eta_s(self, job: Job, now_s: float) -> float | None:
        """Return the seconds that are left; None while nobody knows."""
        if self.phase != (job.phase, job.total_bytes):
            self.phase, self.since_s = (job.phase, job.total_bytes), now_s
        eta_s = job.eta_s if now_s - self.since_s >= _STEADY_S and not job.detail else None
        return eta_s if eta_s is not None and eta_s < _LONGEST_ETA_S else None


@dataclass(slots=True)
class Lines:
    """Says how far a job is without drawing."""

    what: str
    said_s: float
    """When it said something; at first, when the job began."""
    steady: Steady = field(default_factory=Steady)

    def say(self, job: Job, now_s: float) -> None:
        """Say it, where it is time to."""
        eta_s = self.steady.eta_s(job, now_s)
        if now_s - self.said_s >= _LINE_EVERY_S:
            self.said_s = now_s
            output.note(said(self.what, job, eta_s))


def said(what: str, job: Job, eta_s: float | None) -> str:
    """Return how far a job is, as a line for a log."""
    return f"{what}: {', '.join(filter(None, (_phase(job), _bytes(job), *pace(job, eta_s))))}"


def drawn(what: str, job: Job, eta_s: float | None, most: int) -> str:
    """Return how far a job is, as a line of a terminal that is `most` cells wide."""
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
    """Return rate and time left, or what keeps a job from having them."""
    if job.detail or job.state != RUNNING or not job.total_bytes:
        return (job.detail,)
    return f"{format_size(job.rate_bytes_per_s)}/s", f"ETA {_left(eta_s)}"


def _left(eta_s: float | None) -> str:
    if eta_s is None:
        return "--"
    minutes, seconds = divmod(round(eta_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
