"""A clock that stands still until somebody sleeps or turns it."""

from __future__ import annotations

import threading


class FakeClock:
    """Time as the test wants it; sleeping takes none and moves it on."""

    def __init__(self, now_s: float = 1_000_000.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []
        self._mutex = threading.Lock()

    def now(self) -> float:
        """Return seconds since 1970."""
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        """Move time on."""
        with self._mutex:
            self.slept.append(duration_s)
            self.now_s += duration_s
