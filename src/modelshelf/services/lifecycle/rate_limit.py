"""At most so many bytes per second, over all streams of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from modelshelf.domain.ports import Clock

_STEP_S = 0.2


class Throttle:
    """A rate limit.

    **Concurrency:** shared by all streams; each waits for its own bytes, so that their sum keeps the rate.

    Args:
        rate_bytes_per_s: The limit; None: none.
        clock: Time.
    """

    def __init__(self, rate_bytes_per_s: int | None, clock: Clock) -> None:
        self._rate_bytes_per_s = rate_bytes_per_s
        self._clock = clock
        self._mutex = threading.Lock()
        self._free_at = 0.0

    def __call__(self, count_bytes: int, check: Callable[[], None] = lambda: None) -> None:
        """Account for bytes just read; returns when the rate allows more.

        Args:
            count_bytes: How many.
            check: Called now and then while it waits; may raise to stop.
        """
        if self._rate_bytes_per_s is None:
            return
        with self._mutex:
            now = self._clock.now()
            self._free_at = max(now, self._free_at) + count_bytes / self._rate_bytes_per_s
            wait_s = self._free_at - now
        while wait_s > 0:
            check()
            self._clock.sleep(min(wait_s, _STEP_S))
            wait_s -= _STEP_S
