"""Work on several things at the same time: all of it, or none after the first error."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from modelshelf.domain.ports import Progress
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.lifecycle.side_by_side import side_by_side

DEADLINE_S = 60


def test_things_are_worked_on_at_once() -> None:
    """Three threads that wait for each other all finish, and so does a fourth thing after them."""
    meet, done = threading.Barrier(3), list[int]()

    def work(thing: int, progress: Progress) -> None:
        if thing < 3:
            meet.wait(DEADLINE_S)
        progress.advance(1)
        done.append(thing)

    counter = Counter()
    side_by_side(work, range(4), counter, 3)

    assert sorted(done) == [0, 1, 2, 3]
    assert counter.read().done_bytes == 4


def test_the_first_error_stops_the_others() -> None:
    """After the first error the other threads stop, no new work begins, and the caller gets that error."""
    failed, seen = threading.Event(), list[int]()

    def work(thing: int, progress: Progress) -> None:
        seen.append(thing)
        if thing == 0:
            failed.set()
            raise ValueError("first")
        failed.wait(DEADLINE_S)
        while True:
            progress.check()

    with pytest.raises(ValueError, match="first"):
        side_by_side(work, range(9), Counter(), 2)
    assert set(seen) <= {0, 1}


def test_the_first_error_stops_what_counts_a_file() -> None:
    """Work that counts its bytes by file stops at the first error of another thread, too."""
    begun = threading.Event()

    def work(path: str, progress: Progress) -> None:
        file = progress.of(path)
        if path == "bad":
            begun.wait(DEADLINE_S)
            raise ValueError(path)
        file.advance(1)
        begun.set()
        while True:
            file.check()

    counter = Counter()
    counter.files({"good": 2, "bad": 1})
    with pytest.raises(ValueError, match="bad"):
        side_by_side(work, ["good", "bad"], counter, 2)
    assert [(file.path, file.done_bytes) for file in counter.read().files.listed] == [("good", 1), ("bad", 0)]


def test_ctrl_c_stops_all() -> None:
    """Ctrl-C reaches the waiting thread, and the others stop at their next check before it goes on."""
    working = set[int]()

    def work(thing: int, progress: Progress) -> None:
        working.add(thing)
        if thing == 0:
            os.kill(os.getpid(), signal.SIGINT)  # to the process, as Ctrl-C does: its main thread is told
        try:
            while True:
                progress.check()
        finally:
            working.remove(thing)

    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, range(3), Counter(), 2)
    assert working == set()
