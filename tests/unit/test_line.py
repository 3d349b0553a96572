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

    def bring(self, rate: float, *, duration_s: float = 2.0) -> int:
        """Let so many bytes a second come for a while; return how many streams the line is worth then."""
        for _ in range(round(duration_s / 0.1)):
            self.now_s += 0.1
            self.line.came(round(rate / 10))
            self.line.streams(8)
        return self.line.streams(8)


def test_a_line_is_worth_more_streams_the_more_it_brings() -> None:
    """A line gets one stream at first, two at 1 MB/s, all at 50 MB/s, and one again after a time without bytes."""
    times = Times()

    found = [times.line.streams(8), times.bring(1e6), times.bring(50e6)]
    times.now_s += 10
    found.append(times.line.streams(8))

    assert found == [1, 2, 8, 1]


@pytest.mark.parametrize(
    ("rates", "worth"),
    [([900e6] * 8, 1), ([300e6, 600e6, 700e6, 700e6], 2), ([150e6 * n for n in range(1, 9)], 8)],
    ids=["one takes all", "two take all", "each brings its own"],
)
def test_a_fast_line_keeps_the_streams_that_make_it_faster(rates: list[float], worth: int) -> None:
    """Where bytes come faster than 134 MB/s, a stream that makes the line hardly faster is taken away again."""
    times = Times()

    for _ in range(40):
        streams = times.line.streams(8)
        times.bring(rates[min(streams, len(rates)) - 1], duration_s=0.1)

    assert times.line.streams(8) == worth


def test_a_fast_line_that_slows_down_gets_more_streams() -> None:
    """A line that was fast with one stream gets all of them once it is slow."""
    times = Times()

    assert times.bring(900e6) == 1
    assert times.bring(20e6, duration_s=3) == 8


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
