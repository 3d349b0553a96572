"""Whether downloads may run now: within the configured hours, or because a person wants one at once."""

from __future__ import annotations

import time

from modelshelf.domain.download_hours import DownloadHours
from modelshelf.domain.ports import Clock
from modelshelf.errors import Unavailable


class OpenHours:
    """The hours, for the downloads of this process.

    Args:
        hours: When downloads may run; None: always.
        clock: Time.
    """

    def __init__(self, hours: DownloadHours | None, clock: Clock) -> None:
        self._hours = hours
        self._clock = clock

    def ignore(self) -> None:
        """Let this process's downloads run at once from now on."""
        self._hours = None

    def check(self) -> None:
        """Raise unless downloads may run now.

        Raises:
            Unavailable: It is too early; `opens_in_s` says by how much.
        """
        closed_s = self.closed_s()
        if self._hours is not None and closed_s:
            raise Unavailable(
                f"Downloads wait until {self._hours.opens()} (SHELF_DOWNLOAD_HOURS={self._hours}).",
                hint="To download at once: shelf pull NAME --now",
                retry_after_s=closed_s,
                opens_in_s=closed_s,
            )

    def closed_s(self) -> int:
        """Return how many seconds it is until downloads may run; 0 when they may now."""
        if self._hours is None:
            return 0
        here = time.localtime(self._clock.now())
        return self._hours.closed_s(here.tm_hour * 3600 + here.tm_min * 60 + here.tm_sec)
