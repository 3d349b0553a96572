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
        reread: Returns the limit as it is now; called now and then. None: it never changes.
    """

    def __init__(
        self,
        rate_bytes_per_s: int | None,
        clock: Clock,
        part: Callable[[], float] = lambda: 1.0,
        reread: Callable[[], int | None] | None = None,
    ) -> None:
        self._rate_bytes_per_s = rate_bytes_per_s
        self._reread = reread or (lambda: rate_bytes_per_s)
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
        with self._mutex:
            now = self._look()
            if self._rate_bytes_per_s is None:
                return
            rate_bytes_per_s = self._rate_bytes_per_s
            self._free_at = max(now, self._free_at) + count_bytes / (rate_bytes_per_s * self._last_part)
            wait_s = self._free_at - now
        while wait_s > 0 and self._rate_bytes_per_s == rate_bytes_per_s:  # a wait for another limit is over
            check()
            self._clock.sleep(min(wait_s, _STEP_S))
            wait_s -= _STEP_S
            with self._mutex:
                self._look()

    def _look(self) -> float:
        """Ask for the limit and this process's share of it, if it is time to; return the time."""
        now = self._clock.now()
        if now >= self._ask_at:
            self._ask_at = now + _ASK_S
            limit = self._reread()
            if limit != self._rate_bytes_per_s:
                self._rate_bytes_per_s, self._free_at = limit, now
            if limit is not None:
                with contextlib.suppress(ShelfError):  # the registry isn't reachable: keep the last share
                    self._last_part = self._part()
        return now
