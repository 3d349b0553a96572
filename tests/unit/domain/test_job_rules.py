"""Which jobs take turns, and how many run side by side."""

from __future__ import annotations

import pytest

from modelshelf.domain.job_rules import JobRules
from modelshelf.domain.jobs import Job, JobKind


def job_of(kind: JobKind, parent_id: int | None = None) -> Job:
    """Return a queued job."""
    done = ("", 0, 0, 0, "", "", "", 0, 0.0, "", 0.0, 0.0, None)
    return Job(1, kind, 1, "m", "{}", "queued", *done, parent_id, "")


@pytest.mark.parametrize(
    ("job", "most"),
    [
        (job_of(JobKind.PULL), 3),
        (job_of(JobKind.UPDATE), 3),
        (job_of(JobKind.MIRROR), 3),
        (job_of(JobKind.MOVE), 1),
        (job_of(JobKind.MOVE, parent_id=7), None),
        (job_of(JobKind.GC), None),
    ],
    ids=["pull", "update", "mirror", "move", "eviction", "gc"],
)
def test_downloads_and_moves_take_turns(job: Job, most: int | None) -> None:
    """A person's downloads and moves are limited; what another job caused is a part of it, and other work is free."""
    turn = JobRules(max_downloads=3, max_moves=1).turn_of(job)

    assert (turn and turn.most) == most
    assert JobRules().turn_of(job) is None


def test_a_job_that_waits_for_its_turn_names_the_setting() -> None:
    """The sentence for people has the setting and its value."""
    turn = JobRules(max_moves=1).turn_of(job_of(JobKind.MOVE))

    assert turn is not None
    assert turn.why == "Waits for its turn (MAX_MOVES=1)."


@pytest.mark.parametrize(
    ("rules", "threads"), [(JobRules(), 2), (JobRules(max_downloads=1), 2), (JobRules(30, 3, 2), 5)]
)
def test_a_server_has_a_thread_for_each_job_that_may_run(rules: JobRules, threads: int) -> None:
    """A server runs two jobs side by side, or as many as the settings name."""
    assert rules.threads == threads
