"""Mutual exclusion between processes, through lock files. Nothing else is told by them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from modelshelf.domain.ports import Clock
from modelshelf.errors import Unavailable
from modelshelf.store import fs

_POLL_S = 0.1


@contextlib.contextmanager
def try_lock(*paths: Path) -> Iterator[bool]:
    """Take all locks at once without waiting; yields whether that worked. None is held where one is taken.

    **Concurrency:** between processes and between threads (each call opens its own descriptor). The lock dies with
    its process. The files stay: huggingface_hub never removes its own either, for removing one that another process
    is about to lock would give two owners.
    """
    with contextlib.ExitStack() as stack:
        try:
            for path in paths:
                fs.make_folder(path.parent)
                with fs.translate_errors(path):
                    stack.enter_context(FileLock(path, timeout=0, thread_local=False, mode=0o666))
        except Timeout:
            stack.close()
            yield False
            return
        yield True


@contextlib.contextmanager
def wait_lock(path: Path, clock: Clock, timeout_s: float = 60.0) -> Iterator[None]:
    """Take a lock, waiting for whoever has it.

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
        clock.sleep(_POLL_S)
        waited_s += _POLL_S
