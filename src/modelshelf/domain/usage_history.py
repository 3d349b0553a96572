"""What tiers held over time: one point an hour at most, thinned to days. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelshelf.domain.names import BasePath

HOUR_S, DAY_H = 3600, 24
KEPT_HOURS = 31 * DAY_H
"""Younger points are kept as they are; of older ones the last of each day."""
KEPT_DAYS = 365


@dataclass(frozen=True, slots=True)
class Point:
    """What a tier held in an hour, at the end."""

    hour: int
    """Hours since 1970."""
    usage_bytes: int
    limit_bytes: int | None
    """Its limit then; None: only its disk limited it."""


@dataclass(frozen=True, slots=True)
class TierHistory:
    """A tier's points, oldest first."""

    location: str
    base: BasePath
    points: Sequence[Point]


def is_news(last: Point | None, now: Point) -> bool:
    """Return whether a point says something that the last one doesn't: a change, or that nothing changed for a day.

    >>> is_news(None, Point(5, 7, None)), is_news(Point(5, 7, None), Point(6, 7, None))
    (True, False)
    >>> is_news(Point(5, 7, None), Point(6, 8, None)), is_news(Point(5, 7, None), Point(29, 7, None))
    (True, True)
    """
    if last is None or (last.usage_bytes, last.limit_bytes) != (now.usage_bytes, now.limit_bytes):
        return True
    return now.hour - last.hour >= DAY_H
