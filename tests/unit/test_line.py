"""A line's worth in streams, its silences, and the sleep of the machine."""

from __future__ import annotations

import pytest

from modelshelf.services.lifecycle.line import STALL_S, Line, asleep_s
from tests.world import MIB


class Times:
    """Two clocks that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.asleep_s = 7.0
        self.line = Line(lambda: self.now_s, lambda: self.asleep_s)


def test_a_line_is_worth_more_streams_the_more_it_brings() -> None:
    """A line gets one stream at first, two at 1 MB/s, all at 50 MB/s, and one again after a time without bytes."""
    times = Times()

    found = [times.line.streams(8)]
    for rate in (1_000_000, 50_000_000):
        for _ in range(20):
            times.now_s += 0.1
            times.line.came(rate // 10)
        found.append(times.line.streams(8))
    times.now_s += 10
    found.append(times.line.streams(8))

    assert found == [1, 2, 8, 1]


def test_a_silence_is_told_and_ends_with_a_byte() -> None:
    """A silent line is reported after some seconds, with the time when its connections are dropped; a byte ends it."""
    times = Times()
    times.line.came(MIB)

    said = [times.line.silence()]
    for later_s in (4, 3, 33):
        times.now_s += later_s
        said.append(times.line.silence())
    times.line.came(1)
    said.append(times.line.silence())

    assert said == ["", "", "No data for 7 s.", "No data for 40 s, reconnecting.", ""]
    assert 7 < STALL_S <= 40


def test_what_takes_time_here_is_no_silence() -> None:
    """Hashing a large part and keeping a rate limit don't count as silence."""
    times = Times()

    times.now_s += 30
    times.line.is_busy()

    assert times.line.silence() == ""


@pytest.mark.parametrize(("asleep_s", "woke"), [(0.5, False), (3600, True)], ids=["clocks apart", "an hour"])
def test_a_machine_that_slept_wakes_once(asleep_s: float, woke: bool) -> None:
    """After the machine slept, its connections are dropped at once, and the sleep doesn't count as silence."""
    times = Times()
    times.now_s += 20

    times.asleep_s += asleep_s

    assert (times.line.woke(), times.line.silence() == "") == (woke, woke)
    assert not times.line.woke()


def test_this_machine_is_awake() -> None:
    """On a machine that didn't sleep both clocks agree."""
    before = asleep_s()

    assert abs(asleep_s() - before) < 1
