"""Which jobs take turns, in which order, and how many run side by side."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from modelshelf.domain.job_rules import JobRules, SlowDisk
from modelshelf.domain.jobs import Job, JobKind

PULL, MOVE = JobKind.PULL, JobKind.MOVE
BIG = SlowDisk("8:0", "/big")


def job_of(
    kind: JobKind, number: int = 1, *, parent_id: int | None = None, priority: int = 0, disk: SlowDisk | None = None
) -> Job:
    """Return a queued job."""
    done = ("", 0, 0, 0, "", "", "", 0, 0.0, "", 0.0, 0.0, None)
    return Job(number, kind, 1, "m", "{}", "queued", *done, parent_id, "", priority, disk.key if disk else "")


def why(
    job: Job,
    running: Sequence[Job] = (),
    ready: Sequence[Job] = (),
    *,
    disk: SlowDisk | None = None,
    rules: JobRules | None = None,
) -> str:
    """Return why a job may not begin; with a limit of one of each by default."""
    return (rules or JobRules(max_downloads=1, max_moves=1)).why_not_yet(job, disk, running, ready)


@pytest.mark.parametrize(
    ("job", "waits"),
    [
        (job_of(PULL), True),
        (job_of(JobKind.UPDATE), True),
        (job_of(JobKind.MIRROR), True),
        (job_of(MOVE), True),
        (job_of(MOVE, parent_id=7), False),
        (job_of(JobKind.GC), False),
    ],
    ids=["pull", "update", "mirror", "move", "eviction", "gc"],
)
def test_downloads_and_moves_take_turns(job: Job, waits: bool) -> None:
    """A person's downloads and moves are limited; what another job caused is a part of it, and other work is free."""
    running = [job_of(PULL, 8), job_of(MOVE, 9)]

    assert JobRules(max_downloads=1, max_moves=1).takes_turns(job, None) is waits
    assert bool(why(job, running)) is waits
    assert why(job, running, rules=JobRules()) == ""
    assert not JobRules().takes_turns(job, None)


def test_a_job_that_waits_for_its_turn_names_the_setting() -> None:
    """The sentence for people has the setting and its value; a part of another job takes no place."""
    assert why(job_of(MOVE), [job_of(MOVE, 2)]) == "Waits for its turn (MAX_MOVES=1)."
    assert why(job_of(MOVE), [job_of(MOVE, 2, parent_id=3)]) == ""


def test_the_first_of_the_queue_begins() -> None:
    """Of those that a process stands ready for, the highest priority begins, of equals the oldest."""
    old, new, urgent = job_of(PULL, 1), job_of(PULL, 2), job_of(PULL, 3, priority=1)

    assert why(urgent, [], [old, new, urgent]) == ""
    assert why(old, [], [old, new]) == ""
    assert [bool(why(one, [], [old, urgent])) for one in (old, new)] == [True, True]


def test_one_that_cannot_begin_holds_nobody_up() -> None:
    """A job ahead that waits for its disk doesn't keep one behind it from its turn."""
    writer, stuck, free = job_of(MOVE, 1, disk=BIG), job_of(PULL, 2, disk=BIG), job_of(PULL, 3)

    assert why(free, [writer], [stuck, free]) == ""
    assert why(free, [writer], [job_of(PULL, 2), free]) == "Waits for its turn (MAX_DOWNLOADS=1)."


def test_one_job_writes_to_a_slow_disk() -> None:
    """A second writer waits for the first by its number, evictions too; who reads, or writes elsewhere, doesn't."""
    writer = job_of(PULL, 12, disk=BIG)
    others = [job_of(MOVE, 13), job_of(PULL, 14), job_of(MOVE, 15, parent_id=7)]

    assert {why(one, [writer], disk=BIG, rules=JobRules()) for one in others} == {
        "Waits for job 12: one writer at a time on /big, a slow disk."
    }
    assert [why(one, [writer], rules=JobRules()) for one in others] == [""] * 3
    assert why(job_of(JobKind.MIRROR, 16), [writer], disk=BIG, rules=JobRules()) == ""
    assert JobRules().takes_turns(others[0], BIG)
    assert not JobRules().takes_turns(job_of(JobKind.VERIFY), BIG)


def test_a_job_never_waits_for_its_own_parts() -> None:
    """A pull and the evictions that make room for it may write to one disk: they'd wait for each other for ever."""
    pull, part = job_of(PULL, 1, disk=BIG), job_of(MOVE, 2, parent_id=1, disk=BIG)

    assert why(part, [pull], disk=BIG) == why(pull, [part], disk=BIG) == ""
    assert why(job_of(MOVE, 3, parent_id=1), [part], disk=BIG) == ""


@pytest.mark.parametrize(
    ("rules", "threads"), [(JobRules(), 2), (JobRules(max_downloads=1), 2), (JobRules(30, 3, 2), 5)]
)
def test_a_server_has_a_thread_for_each_job_that_may_run(rules: JobRules, threads: int) -> None:
    """A server runs two jobs side by side, or as many as the settings name."""
    assert rules.threads == threads
