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
_WATCH_S = 0.1
"""For how long the rate is looked at before there is one more stream, in seconds."""
_FAST_BYTES_PER_S = 2**27
"""Above this rate another stream has to be worth its while."""
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
        self._streams = 1
        self._watched_since_s, self._watched_bytes = now(), 0
        self._rate_before = 0.0
        self._has_enough = False
        """Whether another stream brought a fast line hardly more."""

    def came(self, count_bytes: int) -> None:
        """Record bytes that arrived."""
        now_s = self._now()
        with self._mutex:
            self._alive_s = now_s
            self._lately.append((now_s, count_bytes))
            self._lately_bytes += count_bytes
            if not self._watched_bytes:
                self._watched_since_s = now_s
            self._watched_bytes += count_bytes

    def is_busy(self) -> None:
        """Record that the line isn't what is waited for: this side hashes, or keeps a rate limit."""
        self._alive_s = self._now()

    def streams(self, most: int) -> int:
        """Return how many streams the line is worth: few on a slow one, so that little is lost when they end.

        A stream is added whenever the line was watched for a moment and brought enough. On a fast line, where the
        processor is soon what is short, one that brought less than half of another's share is taken away again.
        """
        with self._mutex:
            now_s = self._now()
            while self._lately and self._lately[0][0] < now_s - _LATELY_S:
                self._lately_bytes -= self._lately.popleft()[1]
            worth = min(most, 1 + self._lately_bytes // _STREAM_BYTES)
            if worth <= self._streams:
                self._streams = worth
            elif self._watched_bytes and now_s - self._watched_since_s >= _WATCH_S:
                self._step(self._watched_bytes / (now_s - self._watched_since_s))
                self._watched_bytes = 0
            return self._streams

    def _step(self, rate_bytes_per_s: float) -> None:
        """Add a stream, or take the last one away, by the rate since the last step."""
        before, self._rate_before = self._rate_before, rate_bytes_per_s
        if rate_bytes_per_s < _FAST_BYTES_PER_S:
            self._has_enough = False
        elif self._streams > 1 and not self._has_enough:
            self._has_enough = rate_bytes_per_s < before * (1 + 0.5 / (self._streams - 1))
            self._streams -= self._has_enough
        self._streams += not self._has_enough

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
