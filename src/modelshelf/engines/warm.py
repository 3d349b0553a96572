"""Reading a model ahead of its engine with several threads: a slow disk gives one reader a part of its rate."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_THREADS = 4
_PIECE_BYTES = 8 * 2**20


def warm(paths: Sequence[Path], stop: threading.Event) -> int:
    """Read files into the kernel's memory of files; returns how many bytes were read.

    Args:
        paths: The files, which were looked at before: none of them is a fifo.
        stop: Set to end it early.
    """
    with contextlib.ExitStack() as opened:
        pieces = []
        for path in paths:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            opened.callback(os.close, fd)
            pieces += [(fd, at) for at in range(0, os.fstat(fd).st_size, _PIECE_BYTES)]
        with ThreadPoolExecutor(_THREADS, "warm") as pool:
            return sum(pool.map(lambda piece: 0 if stop.is_set() else _read(*piece), pieces))


def _read(fd: int, at: int) -> int:
    return len(os.pread(fd, _PIECE_BYTES, at))


@contextlib.contextmanager
def warming(paths: Sequence[Path]) -> Iterator[None]:
    """Read files in the background for as long as the block runs; what can't be read is left to the engine."""
    stop = threading.Event()

    def run() -> None:
        with contextlib.suppress(OSError):
            warm(paths, stop)

    thread = threading.Thread(target=run, name="warm", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
