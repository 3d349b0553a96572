"""Charts: what is drawn of what was noted."""

from __future__ import annotations

from modelshelf.domain.names import BasePath
from modelshelf.domain.usage_history import DAY_H, HOUR_S, Point, TierHistory
from modelshelf.server.web.charts import DAY_S, usage_chart, uses_chart

NOW_H = 500_000
GB = 10**9


def of(*points: tuple[int, int], limit: int | None = 100 * GB) -> TierHistory:
    """Return a history of hours before now and sizes."""
    return TierHistory("primary", BasePath("/fast"), [Point(NOW_H - ago, size, limit) for ago, size in points])


def test_usage_is_drawn_in_steps_to_now() -> None:
    """The line holds each size until the next one, ends now, and the limit and evictions stand at their sizes."""
    history = of((10 * DAY_H, 50 * GB), (5 * DAY_H, 90 * GB), (DAY_H, 40 * GB))
    chart = usage_chart(history, "Primary", "t1", NOW_H * HOUR_S, 90, [(NOW_H * HOUR_S - DAY_S, "phi")])

    assert chart is not None
    assert chart.line.startswith("M0.0 ")
    assert chart.line.count("V") == 2
    assert chart.line.endswith("H1000")
    assert chart.title == "Primary usage, 10 days"
    assert chart.limit is not None
    assert chart.limit.text == "limit 100\N{NO-BREAK SPACE}GB"
    assert [(mark.x, mark.title) for mark in chart.marks] == [(90.0, "evicted phi")]
    assert chart.rows[0][1] == "40.0\N{NO-BREAK SPACE}GB"


def test_the_time_before_the_window_is_left_out() -> None:
    """A window begins with what held at its beginning; without a limit there is no line of one."""
    chart = usage_chart(of((50 * DAY_H, 2 * GB), (DAY_H, GB), limit=None), "USB", "t3", NOW_H * HOUR_S, 10, [])

    assert chart is not None
    assert (chart.title, chart.limit) == ("USB usage, 10 days", None)
    assert chart.line.startswith("M0.0 11.9")
    assert chart.marks == []


def test_nothing_noted_draws_nothing() -> None:
    """A tier of which nothing was noted has no chart, and a model that nobody used none either."""
    assert usage_chart(of(), "Primary", "t1", NOW_H * HOUR_S, 90, []) is None
    assert uses_chart({}, NOW_H * HOUR_S, 30) is None
    assert uses_chart({1: 5}, NOW_H * HOUR_S, 30) is None


def test_the_busiest_day_is_the_highest_bar() -> None:
    """Uses are counted by day; the busiest one takes the whole height, and each says its count."""
    today = NOW_H // DAY_H
    chart = uses_chart({today: 4, today - 29: 1}, today * DAY_S + 5.0, 30)

    assert chart is not None
    assert [bar.height for bar in chart.bars] == [21.5, 86.0]
    assert (chart.bars[0].x, chart.about, chart.most) == (0.0, "30 days, 5 uses", "4 a day")
    assert chart.bars[1].title.endswith("4 uses")
