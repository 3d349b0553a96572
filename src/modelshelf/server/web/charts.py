"""Usage and uses over time as charts. Pure geometry; the widths are in per cent, the heights in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from modelshelf.domain.usage_history import HOUR_S, TierHistory
from modelshelf.server.web import words
from modelshelf.units import many

DAY_S = 86400
_TOP, _HIGH, _WIDE = 14, 160, 1000
_BARS = 86
"""So high are the bars of uses at most."""
_ROWS = 40


@dataclass(frozen=True, slots=True)
class Label:
    """A text on an axis."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class UsageChart:
    """What a tier held over time: steps, since usage doesn't glide."""

    title: str
    label: str
    css: str
    line: str
    """The path, 1000 wide."""
    area: str
    grid: Sequence[Label]
    limit: Label | None
    marks: Sequence[Mark]
    dates: Sequence[Label]
    rows: Sequence[tuple[str, str]]
    """The newest points as a table: when, and how much."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The uses of a day."""

    x: float
    width: float
    y: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class UsesChart:
    """The uses of a model by day."""

    label: str
    about: str
    bars: Sequence[Bar]
    most: str
    dates: Sequence[Label]


def usage_chart(
    history: TierHistory, name: str, css: str, now_s: float, most_days: int, evicted: Sequence[tuple[float, str]]
) -> UsageChart | None:
    """Return the chart of a tier; None before anything was noted.

    Args:
        history: Its points.
        name: What it is called.
        css: The class of its colour.
        now_s: Seconds since 1970.
        most_days: How far back it goes.
        evicted: When models were evicted from it, and which.
    """
    points = [(one.hour * HOUR_S, one.usage_bytes) for one in history.points]
    if not points:
        return None
    begin_s = max(now_s - most_days * DAY_S, min(points[0][0], now_s - DAY_S))
    limit_bytes = history.points[-1].limit_bytes
    top = max([size for _, size in points] + [limit_bytes or 0, 1]) * 1.08

    def x_of(at_s: float) -> float:
        return max(0.0, min(1.0, (at_s - begin_s) / (now_s - begin_s)))

    def y_of(size_bytes: float) -> float:
        return round(_HIGH * (1 - size_bytes / top), 1)

    steps = "".join(f"H{x_of(at) * _WIDE:.1f}V{y_of(size)}" for at, size in points[1:] if at >= begin_s)
    before = [size for at, size in points if at <= begin_s] or [points[0][1]]
    line = f"M{x_of(points[0][0]) * _WIDE:.1f} {y_of(before[-1])}{steps}H{_WIDE}"
    days = max(1, round((now_s - begin_s) / DAY_S))
    return UsageChart(
        title=f"{name} usage, {many(days, 'day')}",
        label=f"{name}: {words.size(before[-1])} {many(days, 'day')} ago, {words.size(points[-1][1])} now",
        css=css,
        line=line,
        area=f"{line}V{_HIGH}H{x_of(points[0][0]) * _WIDE:.1f}Z",
        grid=[Label(0, _TOP + y_of(size), words.limit(size) if size else "") for size in _ticks(top, limit_bytes)],
        limit=Label(0, _TOP + y_of(limit_bytes), f"limit {words.limit(limit_bytes)}") if limit_bytes else None,
        marks=[
            Mark(round(100 * x_of(at), 2), _TOP + y_of(_held(points, at)), f"evicted {what}")
            for at, what in evicted
            if at >= begin_s
        ],
        dates=_dates(begin_s, now_s, _TOP + _HIGH + 14),
        rows=[(words.exact(at)[:16], words.size(size)) for at, size in reversed(points[-_ROWS:])],
    )


def _held(points: Sequence[tuple[float, int]], at_s: float) -> int:
    """Return what a tier held at a time."""
    return next((size for at, size in reversed(points) if at <= at_s), points[0][1])


def _ticks(top: float, limit_bytes: int | None) -> list[int]:
    """Return at most four sizes below a limit, and 0.

    >>> _ticks(108, 100)
    [0, 50]
    >>> _ticks(107, None)
    [0, 50, 100]
    """
    step = 10 ** (len(str(int(top / 2))) - 1)
    while top / step > 4:
        step = step * 5 if str(step)[0] == "1" else step * 2
    return [size for size in range(0, int(top), step) if not limit_bytes or size < limit_bytes * 0.9]


def _dates(begin_s: float, now_s: float, y: float) -> list[Label]:
    begin, middle = _day(begin_s), _day((begin_s + now_s) / 2)
    between = [Label(50, y, middle, "middle")] if middle != begin else []
    return [Label(0, y, begin), *between, Label(100, y, "now", "end")]


def _day(at_s: float) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    return f"{at.day} {at:%b}"


def uses_chart(by_day: Mapping[int, int], now_s: float, days: int) -> UsesChart | None:
    """Return the chart of a model's uses; None without any in that time.

    Args:
        by_day: How many on which day since 1970.
        now_s: Seconds since 1970.
        days: How many days it has.
    """
    today = int(now_s // DAY_S)
    first = today - days + 1
    counts = {day: count for day, count in by_day.items() if first <= day <= today and count}
    if not counts:
        return None
    most, each = max(counts.values()), 100 / days
    bars = [
        Bar(
            x=round((day - first) * each, 2),
            width=round(each * 0.72, 2),
            y=round(_TOP + _BARS * (1 - count / most), 1),
            height=round(_BARS * count / most, 1),
            title=f"{_day(day * DAY_S)}: {many(count, 'use')}",
        )
        for day, count in sorted(counts.items())
    ]
    total = sum(counts.values())
    dates = [Label(0, 116, _day(first * DAY_S)), Label(100, 116, "today", "end")]
    return UsesChart(
        label=f"{many(total, 'use')} in {days} days, {most} on one day at most",
        about=f"{days} days, {many(total, 'use')}",
        bars=bars,
        most=f"{most:,} a day",
        dates=dates,
    )


def sparkline(rates: Sequence[int]) -> str:
    """Return the path of a rate over time, 100 wide and 20 high, the highest rate at the top; empty for less than two.

    >>> sparkline([0, 50, 100]), sparkline([7]), sparkline([0, 0])
    ('M0 18L50 10L100 2', '', 'M0 18L100 18')
    """
    if len(rates) < 2:
        return ""
    most, last = max(*rates, 1), len(rates) - 1
    points = [f"{round(100 * at / last, 1):g} {round(18 - 16 * rate / most, 1):g}" for at, rate in enumerate(rates)]
    return f"M{'L'.join(points)}"
