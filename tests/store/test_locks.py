"""Locks between threads and between processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from modelshelf.errors import Denied
from modelshelf.store.locks import try_lock
from tests.store.mounts import small_disk

HOLD = """
import sys, pathlib
from modelshelf.store.locks import try_lock
with try_lock(*map(pathlib.Path, sys.argv[1:])) as free:
    print(free, flush=True)
    sys.stdin.read()
"""


def holder(*paths: Path) -> subprocess.Popen[str]:
    """Return a process that holds locks until its stdin is closed."""
    command = [sys.executable, "-c", HOLD, *map(str, paths)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def is_free(path: Path) -> bool:
    """Return whether a lock can be had at this moment."""
    with try_lock(path) as free:
        return free


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    """In one thread as well: who asks again does not get it a second time."""
    path = tmp_path / "deep" / "x.lock"

    with try_lock(path) as free:
        assert free
        assert not is_free(path)

    assert is_free(path)


def test_another_thread_does_not_get_it(tmp_path: Path) -> None:
    """Two streams of one process exclude each other."""
    seen: list[bool] = []

    with try_lock(tmp_path / "x.lock"):
        thread = threading.Thread(target=lambda: seen.append(is_free(tmp_path / "x.lock")))
        thread.start()
        thread.join()

    assert seen == [False]


def test_of_several_locks_none_is_held_where_one_is_taken(tmp_path: Path) -> None:
    """Taking two at once cannot deadlock, and leaves the free one free."""
    first, second = tmp_path / "1.lock", tmp_path / "2.lock"

    with try_lock(second), try_lock(first, second) as free:
        assert not free
        assert is_free(first)


def test_a_lock_is_given_back_when_the_work_fails(tmp_path: Path) -> None:
    """An error passes through and leaves nothing locked."""
    with pytest.raises(KeyError), try_lock(tmp_path / "x.lock"):
        raise KeyError

    assert is_free(tmp_path / "x.lock")


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """Neither `kill -9` nor a crash leaves a lock behind; its file stays."""
    path = tmp_path / "x.lock"
    with holder(path) as process:
        assert not is_free(path)
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert is_free(path)
    assert path.exists()


def test_huggingface_hubs_locks_are_the_same(tmp_path: Path) -> None:
    """It takes a `FileLock` on the same file, and each excludes the other."""
    with FileLock(tmp_path / "x.lock"):
        assert not is_free(tmp_path / "x.lock")


def test_a_lock_that_cannot_be_written_is_denied(tmp_path: Path) -> None:
    """On a read-only disk the error says so, instead of waiting for ever."""
    with (
        small_disk(tmp_path / "disk", 2**16, "ro") as disk,
        pytest.raises(Denied, match="cannot be written"),
        try_lock(disk / "x.lock"),
    ):
        pass
