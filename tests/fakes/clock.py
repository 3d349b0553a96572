"""A clock that moves only when somebody sleeps or sets it."""

from __future__ import annotations

import threading


class FakeClock:
    """Time under the test's control; sleeping moves it on without waiting."""

    def __init__(self, now_s: float = 1_000_000.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []
        self._mutex = threading.Lock()

    def now(self) -> float:
        """Return seconds since 1970."""
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        """Move the time on."""
        with self._mutex:
            self.slept.append(duration_s)
            self.now_s += duration_s
