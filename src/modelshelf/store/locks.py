"""Mutual exclusion between processes, through lock files. Nothing else is told by them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from modelshelf.store import fs


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
