"""How long a running job still takes, and how long a waiting one waits."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.jobs import BACKOFF_LONGEST_S, DONE, QUEUED, RUNNING, Job, backoff_s


def job(**values: Any) -> Job:
    """Return a job with some of its columns set."""
    blank = {field.name: "" if field.type == "str" else 0 for field in dataclasses.fields(Job)}
    return Job(**(blank | values))


def test_a_running_job_says_how_long_it_still_takes() -> None:
    """A running job's remaining time follows from its present rate."""
    assert job(state=RUNNING, done_bytes=100, total_bytes=700, rate_bytes_per_s=200).eta_s == 3.0


@pytest.mark.parametrize(
    "values",
    [
        {"state": RUNNING, "rate_bytes_per_s": 0},
        {"state": QUEUED, "rate_bytes_per_s": 5},
        {"state": DONE},
        {"state": RUNNING, "rate_bytes_per_s": 5, "phase": "carrying"},
    ],
    ids=["stands still", "queued", "done", "many small files"],
)
def test_where_bytes_do_not_tell_no_time_is_promised(values: dict[str, Any]) -> None:
    """A job at a standstill has no remaining time, nor one whose time goes with its files."""
    assert job(total_bytes=100, **values).eta_s is None


@given(st.integers(0, 10**6))
def test_the_wait_grows_and_is_never_longer_than_five_minutes(attempts: int) -> None:
    """The wait grows with each failure, up to five minutes."""
    wait_s = backoff_s(attempts)

    assert 2.0 <= wait_s <= backoff_s(attempts + 1) <= BACKOFF_LONGEST_S


@pytest.mark.parametrize(("asked_s", "wait_s"), [(0, 0.0), (7, 7.0), (-3, 0.0), (86400, BACKOFF_LONGEST_S)])
def test_what_the_hub_asked_for_wins(asked_s: float, wait_s: float) -> None:
    """The hub's Retry-After counts, up to a bound well below a day."""
    assert backoff_s(9, asked_s) == wait_s
