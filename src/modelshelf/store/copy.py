"""Copying a blob between disks: in segments, hashed on the way, taken up again where a killed copy stopped."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from modelshelf.domain.plans import segment_range
from modelshelf.domain.ports import Progress
from modelshelf.errors import Corrupt
from modelshelf.store.incoming import PIECE_BYTES, IncomingBlob
from modelshelf.store.layout import Base
from modelshelf.store.os_errors import open_to_read

THREADS = 2
"""One reads and writes while the other hashes; more only contend for the disk."""


def copy_blob(
    source: Path,
    base: Base,
    digest: str,
    size_bytes: int,
    target: Path,
    progress: Progress,
    on_written: Callable[[int], None],
) -> None:
    """Copy a blob into another base and publish it there; the caller holds its lock.

    Args:
        source: The regular file with its bytes.
        base: The base that it goes to.
        digest: Its name, and what its bytes must have.
        size_bytes: Its size.
        target: Where it is published.
        progress: Who wants to know.
        on_written: Told how many bytes were written now; not of those that an earlier try left.

    Raises:
        Corrupt: The source's bytes are not what its name says; nothing was published.
        Denied: The source cannot be read.
        Unavailable: It vanished.
        OutOfSpace: The target is full; what arrived stays for the next try.
        Cancelled: The work was stopped; likewise.
    """
    with IncomingBlob(base, digest, size_bytes) as incoming:
        progress.advance(incoming.arrived_bytes())
        _Copy(source, incoming, progress, on_written).run()
        incoming.publish(target, like=source)


class _Copy:
    """The threads of one copy. The first error ends all of them and is raised."""

    def __init__(
        self, source: Path, incoming: IncomingBlob, progress: Progress, on_written: Callable[[int], None]
    ) -> None:
        self._source = source
        self._incoming = incoming
        self._progress = progress
        self._on_written = on_written
        self._todo = deque(incoming.missing())
        self._error: BaseException | None = None
        self._working = 0
        self._changed = threading.Condition()

    def run(self) -> None:
        """Copy what is missing."""
        with open_to_read(self._source) as file:
            fd = file.fileno()
            self._working = max(1, min(THREADS, len(self._todo)))
            for _ in range(self._working - 1):
                threading.Thread(target=self._work, args=(fd,), daemon=True).start()
            self._work(fd)
            self._wait_for_all()
        if self._error is not None:
            raise self._error

    def _wait_for_all(self) -> None:
        """Wait until all have ended, Ctrl-C or not: one that went on would write to files that are closed by then.

        A `Thread.join` that Ctrl-C cuts short takes the thread for ended ever after (CPython 3.11), so they are
        counted.
        """
        while self._working:
            try:
                with self._changed:
                    self._changed.wait_for(lambda: not self._working)
            except KeyboardInterrupt as err:
                self._error = self._error or err

    def _work(self, fd: int) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        try:
            while self._error is None:
                try:
                    index = self._todo.popleft()
                except IndexError:
                    return
                self._progress.check()
                self._copy_segment(fd, index, buffer)
        except BaseException as err:  # noqa: BLE001 - it is raised again where the threads are joined
            self._error = self._error or err
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _copy_segment(self, fd: int, index: int, buffer: memoryview) -> None:
        start, stop = segment_range(index, self._incoming.size_bytes)
        self._incoming.write(index, self._pieces(fd, start, stop, buffer))
        self._progress.advance(stop - start)
        self._on_written(stop - start)

    def _pieces(self, fd: int, start: int, stop: int, buffer: memoryview) -> Iterator[memoryview]:
        while start < stop:
            count = os.preadv(fd, [buffer[: stop - start]], start)
            if not count:
                raise Corrupt(f"{self._source} is shorter than it was.", digest=self._incoming.digest)
            yield buffer[:count]
            start += count
