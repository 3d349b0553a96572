"""A rate limit over all streams of all processes that share a registry.

The processes don't talk to each other: each takes its share of the limit, by its downloads among all that are
running. The registry has their jobs, and an owner's identity tells that a killed process is dead.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from modelshelf.domain.jobs import DOWNLOADING, REPAIRING, RUNNING
from modelshelf.domain.ports import Clock
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.process import is_alive

_STEP_S = 0.2
_ASK_S = 2.0
"""How often a process asks for others that download, in seconds."""


def part_of_limit(registry: Registry, owner: str) -> float:
    """Return the share of the limit that an owner's downloads may take; a new one already counts itself."""
    downloading = [job.owner for job in registry.jobs(state=(RUNNING,)) if job.phase in (DOWNLOADING, REPAIRING)]
    mine = max(1, downloading.count(owner))
    return mine / (mine + sum(other != owner and is_alive(other) is not False for other in downloading))


class Throttle:
    """A rate limit.

    **Concurrency:** shared by all streams; each waits for its own bytes, so that their sum keeps the rate.

    Args:
        rate_bytes_per_s: The limit; None: none.
        clock: Time.
        part: Returns this process's share, above 0 and at most 1; called now and then.
    """

    def __init__(self, rate_bytes_per_s: int | None, clock: Clock, part: Callable[[], float] = lambda: 1.0) -> None:
        self._rate_bytes_per_s = rate_bytes_per_s
        self._clock = clock
        self._part = part
        self._last_part = 1.0
        self._ask_at = 0.0
        self._mutex = threading.Lock()
        self._free_at = 0.0

    def __call__(self, count_bytes: int, check: Callable[[], None] = lambda: None) -> None:
        """Account for bytes just read; returns when the rate allows more.

        Args:
            count_bytes: How many.
            check: Called now and then while waiting; may raise to stop.
        """
        if self._rate_bytes_per_s is None:
            return
        with self._mutex:
            now = self._clock.now()
            if now >= self._ask_at:
                self._ask_at = now + _ASK_S
                with contextlib.suppress(ShelfError):  # the registry isn't reachable: keep the last share
                    self._last_part = self._part()
            self._free_at = max(now, self._free_at) + count_bytes / (self._rate_bytes_per_s * self._last_part)
            wait_s = self._free_at - now
        while wait_s > 0:
            check()
            self._clock.sleep(min(wait_s, _STEP_S))
            wait_s -= _STEP_S
