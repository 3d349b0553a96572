"""The rate limit that all streams of a process share."""

from __future__ import annotations

import pytest

from modelshelf.errors import Cancelled, Unavailable
from modelshelf.services.lifecycle.rate_limit import Throttle
from tests.fakes.clock import FakeClock


def test_without_a_limit_nobody_waits() -> None:
    """Without a rate nobody sleeps, however much is read."""
    clock = FakeClock()

    Throttle(None, clock)(10**12)

    assert clock.slept == []


def test_bytes_take_the_time_that_the_rate_gives_them() -> None:
    """Continuous reading runs exactly at the limit."""
    clock = FakeClock()
    throttle = Throttle(1000, clock)
    begun = clock.now()

    for _ in range(10):
        throttle(500)

    assert clock.now() - begun == pytest.approx(5.0)


def test_streams_side_by_side_share_the_rate() -> None:
    """Streams that read at the same moment wait one after the other."""
    clock = FakeClock()
    throttle = Throttle(1000, clock)
    stopped = _Stopped(clock)
    throttle_of_others = Throttle(1000, stopped)

    throttle_of_others(500)
    throttle_of_others(500)
    throttle(500)

    assert sum(stopped.slept) == pytest.approx(0.5 + 1.0)
    assert sum(clock.slept) == pytest.approx(0.5)


def test_a_pause_is_not_made_up_for() -> None:
    """After a minute without reading, no more than the rate is read."""
    clock = FakeClock()
    throttle = Throttle(1000, clock)
    throttle(1000)
    clock.now_s += 60

    throttle(1000)

    assert sum(clock.slept) == pytest.approx(2.0)


def test_a_wait_can_be_ended() -> None:
    """A waiting stream stops at once when it is told to stop."""
    clock = FakeClock()

    def stop() -> None:
        if clock.slept:
            raise Cancelled

    with pytest.raises(Cancelled):
        Throttle(1000, clock)(60_000, stop)

    assert sum(clock.slept) < 1


def test_processes_side_by_side_keep_to_their_parts() -> None:
    """Several processes share the rate, ask now and then how many they are, and keep going if nobody can tell."""
    clock, parts = FakeClock(), [0.25]

    def part() -> float:
        if not parts:
            raise Unavailable("The registry is away.")
        return parts.pop()

    throttle = Throttle(1000, clock, part)
    for _ in range(2):
        begun = clock.now()
        throttle(1000)
        assert clock.now() - begun == pytest.approx(4.0)


def test_no_bytes_cost_no_time() -> None:
    """An empty read doesn't wait."""
    clock = FakeClock()

    Throttle(1000, clock)(0)

    assert clock.slept == []


class _Stopped(FakeClock):
    """A clock that a sleep doesn't move."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock.now())

    def sleep(self, duration_s: float) -> None:
        """Record the sleep."""
        self.slept.append(duration_s)


def test_a_changed_limit_holds_at_once() -> None:
    """A limit that is raised or lifted while bytes wait for the old one ends that wait."""
    clock = FakeClock()
    limits = [10, 10, 1000, 1000]
    throttle = Throttle(10, clock, reread=lambda: limits.pop(0) if limits else None)
    begin = clock.now()

    throttle(10_000)
    raised_s = clock.now() - begin
    throttle(10_000)

    assert raised_s < 10
    assert clock.now() - begin < 20
    throttle(10**12)
    assert clock.now() - begin < 20
