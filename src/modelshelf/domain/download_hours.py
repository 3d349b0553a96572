"""The hours in which downloads may run, so that the line is free at other times."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelshelf.errors import BadInput

DAY_S = 86400
_TIME = r"([01][0-9]|2[0-3]):([0-5][0-9])"


@dataclass(frozen=True, slots=True)
class DownloadHours:
    """From one time of day to another, which may be after midnight.

    >>> night = DownloadHours.parse("23:30-07:00")
    >>> [night.closed_s(hour * 3600) for hour in (0, 6, 7, 23)], str(night)
    ([0, 0, 59400, 1800], '23:30-07:00')
    """

    opens_s: int
    """In seconds after midnight."""
    closes_s: int

    @classmethod
    def parse(cls, text: str) -> DownloadHours:
        """Return the hours in a text such as `01:00-07:00`.

        Raises:
            BadInput: It isn't such a text.
        """
        found = re.fullmatch(f"{_TIME}-{_TIME}", text.replace(" ", ""))
        if found is None or found[0][:5] == found[0][6:]:
            raise BadInput(f"{text!r:.40} isn't a span of hours, such as 01:00-07:00, or 22:00-06:30 over midnight.")
        hour, minute, last_hour, last_minute = map(int, found.groups())
        return cls(hour * 3600 + minute * 60, last_hour * 3600 + last_minute * 60)

    def closed_s(self, day_s: int) -> int:
        """Return how many seconds it is until downloads may run; 0 if they may now.

        Args:
            day_s: Seconds after midnight, local time.
        """
        since_opened_s = (day_s - self.opens_s) % DAY_S
        return 0 if since_opened_s < (self.closes_s - self.opens_s) % DAY_S else DAY_S - since_opened_s

    def opens(self) -> str:
        """Return the time when they begin, as `01:00`."""
        return _time(self.opens_s)

    def __str__(self) -> str:
        """Return them as in the setting."""
        return f"{_time(self.opens_s)}-{_time(self.closes_s)}"


def _time(day_s: int) -> str:
    return f"{day_s // 3600:02}:{day_s % 3600 // 60:02}"
