"""Reading a model ahead of its engine with several threads: a slow disk gives one reader a part of its rate."""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_THREADS = 4
_PIECE_BYTES = 8 * 2**20
_SAMPLES, _SAMPLE_BYTES = 4, 4 * 2**20


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


class MeasuredRate:
    """The speed of a file's disk, measured in the background; a disk that hangs holds nobody up."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.bytes_per_s: float | None = None
        """None until it is known, and where it can't be told."""
        threading.Thread(target=self._measure, args=(paths,), name="disk speed", daemon=True).start()

    def _measure(self, paths: Sequence[Path]) -> None:
        with contextlib.suppress(OSError):
            self.bytes_per_s = read_rate(max(paths, key=lambda path: path.stat().st_size))


def read_rate(path: Path) -> float | None:
    """Return how many bytes a second a disk gives; None for a small file, or where that can't be measured.

    It reads 16 MiB in four places of the file, past the kernel's memory of files.

    Raises:
        OSError: The file can't be read so: not every file system lets it.
    """
    direct = getattr(os, "O_DIRECT", None)  # Linux alone has it
    size_bytes = path.stat().st_size
    if direct is None or size_bytes < 2 * _SAMPLES * _SAMPLE_BYTES:
        return None
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | direct)
    try:
        with mmap.mmap(-1, _SAMPLE_BYTES) as buffer:  # O_DIRECT wants an aligned one
            step = size_bytes // _SAMPLES // mmap.PAGESIZE * mmap.PAGESIZE
            began_s = time.monotonic()
            read = sum(os.preadv(fd, [buffer], number * step) for number in range(_SAMPLES))
            return read / max(time.monotonic() - began_s, 1e-6)
    finally:
        os.close(fd)
