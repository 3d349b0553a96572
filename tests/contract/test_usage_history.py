"""What tiers held over time: one point an hour at most, thinned to days, kept for a year."""

from __future__ import annotations

from modelshelf.domain.usage_history import DAY_H, KEPT_DAYS, KEPT_HOURS, Point
from modelshelf.registry.registry import Registry

HOUR = 500_000
TIER = "t" * 32


def test_only_news_is_noted(registry: Registry) -> None:
    """An hour has its last point, and what didn't change has another one after a day alone."""
    history = registry.usage_history
    for hour, size in ((0, 1), (0, 2), (1, 2), (2, 2), (3, 5), (4, 5), (3 + DAY_H, 5)):
        history.note({TIER: Point(HOUR + hour, size, 10)})

    found = history.points(TIER, HOUR)

    assert [(point.hour - HOUR, point.usage_bytes) for point in found] == [(0, 2), (3, 5), (3 + DAY_H, 5)]
    assert history.points("another", HOUR) == []


def test_old_points_are_thinned_to_days_and_go(registry: Registry) -> None:
    """After a month the last point of each day stays, and after a year it goes too."""
    history = registry.usage_history
    begin = HOUR - HOUR % DAY_H
    for hour in range(2 * DAY_H):
        history.note({TIER: Point(begin + hour, hour, None)})
    history.note({TIER: Point(begin + 2 * DAY_H + KEPT_HOURS, 0, None)})
    assert [point.hour - begin for point in history.points(TIER, 0)][:2] == [DAY_H - 1, 2 * DAY_H - 1]

    history.note({TIER: Point(begin + (KEPT_DAYS + 10) * DAY_H, 0, 7)})

    assert [point.limit_bytes for point in history.points(TIER, 0)] == [None, 7]


def test_what_held_before_is_told_too(registry: Registry) -> None:
    """The points since an hour begin with the last one before it, which still held then."""
    history = registry.usage_history
    for hour in (0, 5, 9):
        history.note({TIER: Point(HOUR + hour, hour, None)})

    assert [point.hour - HOUR for point in history.points(TIER, HOUR + 6)] == [5, 9]
