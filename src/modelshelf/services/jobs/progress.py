"""Progress of long work, for other threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from modelshelf.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the work is."""

    phase: str
    done_bytes: int
    total_bytes: int
    worked_bytes: int = 0
    """Bytes handled over all phases, for the rate."""
    detail: str = ""
    """What the work waits for, in a sentence."""


class Counter:
    """Progress that another thread can read and stop."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._reading = Reading("", 0, 0)

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Begin a phase; one without bytes keeps the figures of the one before."""
        with self._mutex:
            now = self._reading
            figures = {"done_bytes": 0, "total_bytes": total_bytes} if total_bytes else {}
            self._reading = replace(now, phase=name, detail="", **figures)

    def grow(self, total_bytes: int) -> None:
        """Add bytes to handle to the phase."""
        with self._mutex:
            self._reading = replace(self._reading, total_bytes=self._reading.total_bytes + total_bytes)

    def advance(self, done_bytes: int) -> None:
        """Count bytes."""
        with self._mutex:
            now = self._reading
            done, worked = now.done_bytes + done_bytes, now.worked_bytes + done_bytes
            self._reading = replace(now, done_bytes=done, worked_bytes=worked)

    def skip(self, done_bytes: int) -> None:
        """Count bytes that were there already."""
        with self._mutex:
            self._reading = replace(self._reading, done_bytes=self._reading.done_bytes + done_bytes)

    def note(self, detail: str) -> None:
        """Say what the work waits for."""
        with self._mutex:
            self._reading = replace(self._reading, detail=detail)

    def check(self) -> None:
        """Raise Cancelled once `stop` was called."""
        if self._stop.is_set():
            raise Cancelled

    def stop(self) -> None:
        """Ask the work to end soon; what is done stays done."""
        self._stop.set()

    def read(self) -> Reading:
        """Return the progress now."""
        with self._mutex:
            return self._reading
