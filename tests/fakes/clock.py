"""Clocks of tests: one that moves only when somebody sleeps or sets it, and one that is ahead."""

from __future__ import annotations

import threading
import time

from modelshelf.domain.gc import MIN_AGE_S


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


class Later:
    """A clock that is ahead, by default by more than gc's minimum age, because a file's ctime can't be set back."""

    def __init__(self, ahead_s: float = MIN_AGE_S + 60) -> None:
        self.ahead_s = ahead_s

    def now(self) -> float:
        """Return the later time."""
        return time.time() + self.ahead_s

    def sleep(self, duration_s: float) -> None:
        """Wait in real time."""
        time.sleep(duration_s)
