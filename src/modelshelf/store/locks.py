"""Mutual exclusion between processes, through lock files. Nothing else is told by them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from modelshelf.domain.ports import Clock
from modelshelf.errors import Unavailable
from modelshelf.store import fs
from modelshelf.store.os_errors import translate_errors

_POLL_S = 0.1


@contextlib.contextmanager
def try_lock(*paths: Path) -> Iterator[bool]:
    """Take all locks at once without waiting; yields whether that worked. None is held where one is taken.

    **Concurrency:** between processes and between threads (each call opens its own descriptor). The lock dies with
    its process. The files stay, as huggingface_hub's own do: see `remove_unused`.
    """
    with contextlib.ExitStack() as stack:
        try:
            for path in paths:
                fs.make_folder(path.parent)
                with translate_errors(path):
                    stack.enter_context(FileLock(path, timeout=0, thread_local=False, mode=0o666))
        except Timeout:
            stack.close()
            yield False
            return
        yield True


@contextlib.contextmanager
def wait_lock(
    path: Path, clock: Clock, timeout_s: float = 60.0, check: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Take a lock, waiting for whoever has it.

    Args:
        path: The lock.
        clock: Time.
        timeout_s: How long to wait.
        check: Called while it is waited for; raises when that is to stop.

    Raises:
        Unavailable: It was not free in time.
    """
    waited_s = 0.0
    while True:
        with try_lock(path) as free:
            if free:
                yield
                return
        if waited_s >= timeout_s:
            raise Unavailable(
                f"Another program has held {path} for {timeout_s:.0f} s.",
                hint="Wait for it, or end it.",
                path=str(path),
            )
        check()
        clock.sleep(_POLL_S)
        waited_s += _POLL_S


def remove_unused(path: Path) -> fs.Freed:
    """Delete one of our own lock files, unless somebody holds it; returns what that freed.

    **Concurrency:** removing a lock that another process is about to take would give two owners, so it is removed by
    who holds it, while the name still leads to what is held. Who had it open meanwhile gets a lock without a name:
    `filelock` looks at the link count once it has a lock, and begins anew. Other versions of it need not, which is
    why huggingface_hub's locks are never removed.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return fs.Freed()
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held, named = os.fstat(fd), path.lstat()
        is_ours = (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)
        return fs.remove_file(path) if is_ours else fs.Freed()
    except OSError:
        return fs.Freed()
    finally:
        os.close(fd)
