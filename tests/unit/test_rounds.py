"""The thread that looks after what other programs did tries every step, and a stop waits for none that is to come."""

from __future__ import annotations

import threading

import pytest

from modelshelf.errors import Unavailable
from modelshelf.services.maintenance import rounds
from modelshelf.services.maintenance.rounds import Rounds
from tests.world import wait_until


@pytest.mark.parametrize("error", [Unavailable("The registry is away."), ValueError("a defect")])
def test_a_step_that_fails_keeps_none_of_the_others_from_being_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """What one step couldn't do is logged, in its round and in the next one, and the step after it is done."""
    monkeypatch.setattr(rounds, "_FIRST_S", 0.0)
    monkeypatch.setattr(rounds, "_ROUND_S", 0.01)
    done: list[str] = []

    def fail() -> None:
        raise error

    running = Rounds((fail, lambda: done.append("next")))
    running.start()
    wait_until(lambda: len(done) >= 2, "two rounds")
    running.stop()

    assert {(record.message, record.__dict__["detail"]) for record in caplog.records} == {("round_failed", str(error))}


def test_a_stop_waits_for_the_step_under_way_and_begins_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has begun is finished, because it may hold a lock; what comes after it isn't begun."""
    monkeypatch.setattr(rounds, "_FIRST_S", 0.0)
    done: list[str] = []

    def first() -> None:
        stopping.start()
        wait_until(running._stop.is_set, "the stop to be asked for")
        done.append("first")

    running = Rounds((first, lambda: done.append("second")))
    stopped = threading.Event()
    stopping = threading.Thread(target=lambda: (running.stop(), stopped.set()))
    running.start()
    stopped.wait(60)

    assert done == ["first"]


def test_a_server_that_stops_at_once_looks_at_nothing() -> None:
    """The first round comes seconds after the start, and a stop before it doesn't wait for that."""
    done: list[str] = []
    running = Rounds((lambda: done.append("looked"),))

    running.start()
    running.stop()

    assert done == []
