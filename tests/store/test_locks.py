"""Locks between threads and between processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock

from modelshelf.domain.names import Digest
from modelshelf.errors import Denied, Unavailable
from modelshelf.store.layout import Base
from modelshelf.store.locks import bounded, remove_unused, try_lock, wait_lock
from tests.builders import put
from tests.fakes.clock import FakeClock
from tests.no_flock import take_flock_away
from tests.store.fuse import share
from tests.store.mounts import small_disk
from tests.world import wait_until

HOLD = """
import sys, pathlib
from modelshelf.store.locks import remove_unused, try_lock
paths = [pathlib.Path(path) for path in sys.argv[1:]]
with try_lock(paths[0].parent, *paths) as free:
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
    """Return whether a lock is free at this moment."""
    with try_lock(path.parent, path) as free:
        return free


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    """A lock has one holder at a time; asking again in the same thread doesn't give it."""
    path = tmp_path / "deep" / "x.lock"

    with try_lock(path.parent, path) as free:
        assert free
        assert not is_free(path)

    assert is_free(path)


def test_another_thread_does_not_get_it(tmp_path: Path) -> None:
    """Two threads of one process exclude each other."""
    seen: list[bool] = []

    with try_lock(tmp_path, tmp_path / "x.lock"):
        thread = threading.Thread(target=lambda: seen.append(is_free(tmp_path / "x.lock")))
        thread.start()
        thread.join()

    assert seen == [False]


@pytest.mark.parametrize("answer", [errno.ENOLCK, errno.ENOSYS], ids=["no locks", "no flock"])
def test_threads_exclude_each_other_where_the_file_system_has_no_locks(tmp_path: Path, answer: int) -> None:
    """On a file system without locks, threads still exclude each other and give the lock back."""
    path, seen = tmp_path / "x.lock", []

    def work() -> None:
        take_flock_away(answer)
        with try_lock(tmp_path, path) as free:
            seen.extend([free, is_free(path)])
        seen.append(is_free(path))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [True, False, True]
    assert is_free(path)


def test_a_disk_that_fails_is_no_lock_that_is_taken(tmp_path: Path) -> None:
    """An error of the disk while a lock is taken is reported, and not taken for another's lock."""
    seen: list[BaseException] = []

    def work() -> None:
        take_flock_away(errno.EIO)
        with pytest.raises(OSError, match="Input/output error") as caught:
            is_free(tmp_path / "x.lock")
        seen.append(caught.value)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert len(seen) == 1


def test_of_several_locks_none_is_held_where_one_is_taken(tmp_path: Path) -> None:
    """If one of several locks is taken, none is held, so taking two can't deadlock."""
    first, second = tmp_path / "1.lock", tmp_path / "2.lock"

    with try_lock(second.parent, second), try_lock(first.parent, first, second) as free:
        assert not free
        assert is_free(first)


def test_a_lock_is_given_back_when_the_work_fails(tmp_path: Path) -> None:
    """If the work fails, the lock is released and the error passes through."""
    with pytest.raises(KeyError), try_lock(tmp_path, tmp_path / "x.lock"):
        raise KeyError

    assert is_free(tmp_path / "x.lock")


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """A lock ends with its process, even by `kill -9`; its file stays."""
    path = tmp_path / "x.lock"
    with holder(path) as process:
        assert not is_free(path)
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert is_free(path)
    assert path.exists()


def test_huggingface_hubs_locks_are_the_same(tmp_path: Path) -> None:
    """huggingface_hub's `FileLock` on the same file and our lock exclude each other."""
    with FileLock(tmp_path / "x.lock"):
        assert not is_free(tmp_path / "x.lock")


def test_a_lock_that_cannot_be_written_is_denied(tmp_path: Path) -> None:
    """On a read-only disk taking a lock is an error instead of an endless wait."""
    with (
        small_disk(tmp_path / "disk", 2**16, "ro") as disk,
        pytest.raises(Denied, match="cannot be written"),
        try_lock(disk, disk / "x.lock"),
    ):
        pass


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    """A lock that is released while we wait is taken."""
    path = tmp_path / "x.lock"
    with ExitStack() as held:
        held.enter_context(try_lock(path.parent, path))
        clock = _Releasing(held, after_sleeps=3)

        with wait_lock(path.parent, path, clock):
            assert not is_free(path)

    assert len(clock.slept) == 3
    assert is_free(path)


def test_a_lock_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """After the longest wait the error names the file and the time."""
    clock, path = FakeClock(), tmp_path / "x.lock"
    with (
        try_lock(path.parent, path),
        pytest.raises(Unavailable, match=r"has held .*x\.lock for 2 s"),
        wait_lock(path.parent, path, clock, 2.0),
    ):
        pass

    assert sum(clock.slept) == pytest.approx(2.0, abs=0.11)


def test_an_unused_lock_file_of_ours_is_removed(tmp_path: Path) -> None:
    """One of our unused lock files is deleted; a held one and a link stay."""
    free, taken, link = (put(tmp_path / name, b"") for name in ("free.lock", "taken.lock", "link.lock"))
    link.unlink()
    link.symlink_to(free)
    with try_lock(tmp_path, taken):
        for path in (taken, link, free, tmp_path / "gone.lock"):
            remove_unused(path.parent, path)

    assert not free.exists()
    assert taken.exists()
    assert link.is_symlink()


class _Releasing(FakeClock):
    """A clock during which somebody releases a lock."""

    def __init__(self, held: ExitStack, after_sleeps: int) -> None:
        super().__init__()
        self._held = held
        self._after_sleeps = after_sleeps

    def sleep(self, duration_s: float) -> None:
        """Let time pass until the lock is free."""
        super().sleep(duration_s)
        if len(self.slept) == self._after_sleeps:
            self._held.close()


def test_an_unused_lock_is_removed(tmp_path: Path) -> None:
    """An unused lock file is deleted; a held one and a link's target stay, and a missing one isn't an error."""
    path, link = tmp_path / "x.lock", tmp_path / "y.lock"
    link.symlink_to(put(tmp_path / "precious", b""))

    with try_lock(path.parent, path):
        remove_unused(path.parent, path)
        assert path.exists()
    remove_unused(path.parent, path)
    remove_unused(path.parent, path)
    remove_unused(link.parent, link)

    assert not path.exists()
    assert link.exists()


def test_removing_a_lock_never_makes_two_owners(tmp_path: Path) -> None:
    """While one thread keeps deleting the lock file, at most one other thread holds the lock."""
    path = tmp_path / "x.lock"
    inside: list[int] = []
    most: list[int] = []

    def take() -> None:
        for _ in range(300):
            with try_lock(path.parent, path) as free:
                if free:
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()

    takers = [threading.Thread(target=take) for _ in range(3)]
    for thread in takers:
        thread.start()
    while any(thread.is_alive() for thread in takers):
        remove_unused(path.parent, path)

    assert set(most) == {1}


def test_a_share_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """A call that hangs on a network mount raises an error that names it, and is undone if the mount comes back."""
    with share(tmp_path) as mounted:
        path = mounted.path / "x"
        undone: list[object] = []
        os.kill(mounted.pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match=r"has not answered for 0\.1 s: fuse\.sshfs .* hangs"):
                bounded(lambda: put(path, b"x"), path, undone.append, hang_s=0.1)
            assert undone == []
        finally:
            os.kill(mounted.pid, signal.SIGCONT)
        wait_until(lambda: undone == [path], "the call that comes back late")


def test_what_fails_on_a_share_fails_as_anywhere(tmp_path: Path) -> None:
    """A call that fails on a network mount raises its own error, and one that works returns its result."""
    with share(tmp_path) as mounted:
        with pytest.raises(FileNotFoundError):
            bounded((mounted.path / "none").read_bytes, mounted.path)
        assert bounded((mounted.path / "none").exists, mounted.path) is False


def test_a_lock_on_a_share_may_be_held_by_another_machine(tmp_path: Path) -> None:
    """Giving up on a lock on a network mount says that another machine may hold it."""
    with (
        share(tmp_path) as mounted,
        try_lock(mounted.path, mounted.path / "x.lock"),
        pytest.raises(Unavailable, match=r"has held .* on fuse\.sshfs") as caught,
        wait_lock(mounted.path, mounted.path / "x.lock", FakeClock(), 0.2),
    ):
        pass

    assert "another machine" in caught.value.hint


def test_the_lock_beside_a_part_goes_when_it_is_let_go(tmp_path: Path) -> None:
    """A part's lock file is deleted when it is released, unless somebody holds it."""
    base = Base(tmp_path)
    path = base.part_lock(Digest("d" * 64))

    with try_lock(base.path, path) as free:
        with try_lock(base.path, path) as second:
            assert (free, second) == (True, False)
        assert path.exists()

    assert not path.exists()
