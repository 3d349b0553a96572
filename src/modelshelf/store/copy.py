"""Copying a blob between disks: in segments, hashed on the way, taken up again where a killed copy stopped."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from modelshelf.domain.plans import segment_range
from modelshelf.domain.ports import Progress
from modelshelf.errors import Corrupt
from modelshelf.store.incoming import PIECE_BYTES, IncomingBlob
from modelshelf.store.layout import Base
from modelshelf.store.os_errors import open_to_read


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
    """The two threads of one copy: one writes, the other hashes what was written. The first error ends both.

    A second writer would only wait for the first: a file system lets one at a time into a file.
    """

    def __init__(
        self, source: Path, incoming: IncomingBlob, progress: Progress, on_written: Callable[[int], None]
    ) -> None:
        self._source = source
        self._incoming = incoming
        self._progress = progress
        self._on_written = on_written
        self._error: BaseException | None = None
        self._working = 2
        self._fresh, self._all_written = False, False
        self._changed = threading.Condition()

    def run(self) -> None:
        """Copy what is missing."""
        threading.Thread(target=self._guard, args=(self._hash,), daemon=True).start()
        self._guard(self._write)
        self._wait_for_all()
        if self._error is not None:
            raise self._error

    def _wait_for_all(self) -> None:
        """Wait until both have ended, Ctrl-C or not: one that went on would read a file that is closed by then.

        A `Thread.join` that Ctrl-C cuts short takes the thread for ended ever after (CPython 3.11), so they are
        counted.
        """
        while self._working:
            try:
                with self._changed:
                    self._changed.wait_for(lambda: not self._working)
            except KeyboardInterrupt as err:
                self._error = self._error or err

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as err:  # noqa: BLE001 - it is raised again where the threads are waited for
            self._error = self._error or err
        finally:
            with self._changed:
                self._working -= 1
                self._all_written = True
                self._changed.notify_all()

    def _write(self) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        with open_to_read(self._source) as file:
            for index in self._incoming.missing():
                if not self._goes_on():
                    return
                start, stop = segment_range(index, self._incoming.size_bytes)
                self._incoming.write(index, self._pieces(file.fileno(), start, stop, buffer))
                self._progress.advance(stop - start)
                self._on_written(stop - start)
                with self._changed:
                    self._fresh = True
                    self._changed.notify_all()

    def _hash(self) -> None:
        is_over = False
        while not is_over and self._error is None:
            with self._changed:
                self._changed.wait_for(lambda: self._fresh or self._all_written)
                self._fresh, is_over = False, self._all_written
            self._incoming.hash_ahead(self._goes_on)

    def _goes_on(self) -> bool:
        """Return whether the other thread works without an error; raises Cancelled when the work is to stop."""
        self._progress.check()
        return self._error is None

    def _pieces(self, fd: int, start: int, stop: int, buffer: memoryview) -> Iterator[memoryview]:
        while start < stop:
            count = os.preadv(fd, [buffer[: stop - start]], start)
            if not count:
                raise Corrupt(f"{self._source} is shorter than it was.", digest=self._incoming.digest)
            yield buffer[:count]
            start += count
