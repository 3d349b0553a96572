"""The line to the hub as observed: its rate, how many streams it is worth, and its silences."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

STALL_S = 15.0
"""How long a connection may bring nothing before it is dropped for a new one, in seconds."""
_SILENCE_S = 5.0
"""How long a silence lasts before it is reported, in seconds."""
_LATELY_S = 2.0
_STREAM_BYTES = 2**20
"""How many bytes the line has to have brought lately for one more stream: half a MiB a second."""
_SLEPT_S = 2.0


def asleep_s() -> float:
    """Return how many seconds this machine has slept since it started: its connections are dead when it wakes up.

    Source: clock_gettime(2). On Linux CLOCK_BOOTTIME goes on in a sleep and CLOCK_MONOTONIC, Python's monotonic, does
    not; on macOS CLOCK_MONOTONIC goes on and mach_absolute_time, Python's monotonic, does not.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) - time.monotonic()


class Line:
    """What is known of a line.

    **Concurrency:** streams report bytes; any thread may ask.

    Args:
        now: Seconds that go on while the machine is awake.
        asleep: Seconds that it has slept.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, asleep: Callable[[], float] = asleep_s) -> None:
        self._now = now
        self._asleep = asleep
        self._slept_s = asleep()
        self._mutex = threading.Lock()
        self._lately: deque[tuple[float, int]] = deque()
        self._lately_bytes = 0
        self._alive_s = now()

    def came(self, count_bytes: int) -> None:
        """Record bytes that arrived."""
        now_s = self._now()
        with self._mutex:
            self._alive_s = now_s
            self._lately.append((now_s, count_bytes))
            self._lately_bytes += count_bytes

    def is_busy(self) -> None:
        """Record that the line isn't what is waited for: this side hashes, or keeps a rate limit."""
        self._alive_s = self._now()

    def streams(self, most: int) -> int:
        """Return how many streams the line is worth: few on a slow one, so that little is lost when they end."""
        with self._mutex:
            while self._lately and self._lately[0][0] < self._now() - _LATELY_S:
                self._lately_bytes -= self._lately.popleft()[1]
            return min(most, 1 + self._lately_bytes // _STREAM_BYTES)

    def silence(self) -> str:
        """Return a sentence if nothing arrives; empty as long as something does."""
        silent_s = self._now() - self._alive_s
        if silent_s < _SILENCE_S:
            return ""
        return f"No data for {silent_s:.0f} s{', reconnecting' if silent_s >= STALL_S else ''}."

    def woke(self) -> bool:
        """Return whether the machine has slept since the last call; a sleep doesn't count as silence."""
        before, self._slept_s = self._slept_s, self._asleep()
        if self._slept_s - before < _SLEPT_S:
            return False
        self.is_busy()
        return True
