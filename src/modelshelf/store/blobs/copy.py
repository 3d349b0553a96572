"""Bringing a blob from another folder of this machine: a second name for its bytes, else a verified copy.

A copy goes piece by piece, is hashed on the way, and resumes where a killed one stopped.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from modelshelf.domain.names import Digest
from modelshelf.domain.plans import segment_count
from modelshelf.domain.ports import Progress
from modelshelf.errors import Corrupt
from modelshelf.store.blobs import link_or_clone
from modelshelf.store.blobs.followers import Followers
from modelshelf.store.blobs.lent_pieces import PIECE_BYTES
from modelshelf.store.blobs.partial import IncomingBlob, Run, digest_of
from modelshelf.store.layout import Base
from modelshelf.store.os_errors import open_to_read

_LOOK_S = 0.2


class Turn:
    """Who of several copies may write: a disk is fastest when one file is written at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def wait(self, check: Callable[[], object]) -> Iterator[None]:
        """Write when this begins; the next one may when it ends.

        Args:
            check: Called now and then while it waits; may raise to stop.
        """
        while not self._lock.acquire(timeout=_LOOK_S):
            check()
        try:
            yield
        finally:
            self._lock.release()


def nobody(count_bytes: int) -> None:
    """Ignore written bytes, if no reservation counts them."""


def bring(
    source: Path,
    base: Base,
    digest: Digest | None,
    size_bytes: int,
    target: Path,
    progress: Progress,
    on_written: Callable[[int], None] = nobody,
    turn: Turn | None = None,
) -> str:
    """Give a base a blob: by a second name, else by shared extents, else by a copy; the caller holds its lock.

    Args:
        source: The regular file with its bytes.
        base: The target.
        digest: Its name, which copied bytes must match; None if it isn't known.
        size_bytes: Its size.
        target: The path at which it is published.
        progress: Told how far the work is.
        on_written: Called with the number of bytes just written.
        turn: What it waits for before it writes; None: nothing.

    Returns:
        `link`, `reflink`, or `copy`; only a copy verified the bytes.

    Raises:
        Corrupt, Denied, Unavailable, OutOfSpace, Cancelled: See `copy_blob`.
    """
    how = link_or_clone.share(base.path, source, target)
    if how:
        progress.advance(size_bytes)
        on_written(size_bytes)
        return how
    copy_blob(source, base, digest or digest_of(source), size_bytes, target, progress, on_written, turn)
    return "copy"


def copy_blob(
    source: Path,
    base: Base,
    digest: Digest,
    size_bytes: int,
    target: Path,
    progress: Progress,
    on_written: Callable[[int], None],
    turn: Turn | None = None,
) -> None:
    """Copy a blob into another base and publish it there; the caller holds its lock.

    Args:
        source: The regular file with its bytes.
        base: The target.
        digest: Its name, which its bytes must match.
        size_bytes: Its size.
        target: The path at which it is published.
        progress: Told how far the copy is.
        on_written: Called with the number of bytes just written, without those of an earlier try.
        turn: What it waits for before it writes; None: nothing.

    Raises:
        Corrupt: The source's bytes don't match its name; nothing was published.
        Denied: The source can't be read.
        Unavailable: It vanished.
        OutOfSpace: The target is full; what arrived stays for the next try.
        Cancelled: The work was stopped; what arrived stays, too.
    """
    with IncomingBlob(base, digest, size_bytes, progress.check) as incoming:
        progress.skip(incoming.arrived_bytes())
        _Copy(source, incoming, progress, on_written, turn or Turn()).run()
        incoming.publish(target, like=source)


class _Copy:
    """The three threads of one copy: one writes, one hashes and one syncs. The first error ends all.

    A second writer would only wait for the first, because a file system lets one at a time into a file. The hashing
    reads the copy again: pieces that wait in memory for it leave the writer's cache, which takes longer than reading.
    Copied bytes leave the page cache soon: memory holds the new copy instead of both, and deleting the source takes a
    third less.
    """

    def __init__(
        self, source: Path, incoming: IncomingBlob, progress: Progress, on_written: Callable[[int], None], turn: Turn
    ) -> None:
        self._source = source
        self._incoming = incoming
        self._progress = progress
        self._on_written = on_written
        self._turn = turn
        self._error: BaseException | None = None
        self._working = 0
        self._followers = Followers(lambda: [incoming], self._goes_on, self._drop_copied)
        self._fd = -1
        self._copied = self._dropped = 0
        """The offsets up to which the source was copied, and no longer takes memory."""
        self._changed = threading.Condition()

    def run(self) -> None:
        """Copy what is missing."""
        with open_to_read(self._source) as file:
            self._fd = file.fileno()
            self._working = 3
            for follow in (self._followers.hash, self._followers.flush):
                threading.Thread(target=self._guard, args=(follow,), daemon=True).start()
            self._guard(self._write)
            self._wait_for_all()
            self._drop_copied()
        if self._error is not None:
            raise self._error

    def _wait_for_all(self) -> None:
        """Wait until all have ended, even after Ctrl-C: a thread that went on would read a file that is closed by then.

        A `Thread.join` that Ctrl-C interrupts takes its thread for ended for ever (CPython 3.11), so they are counted.
        A wait that begins at the instant of a Ctrl-C doesn't hear it, so it is short.
        """
        while self._working:
            try:
                with self._changed:
                    self._changed.wait_for(lambda: not self._working, _LOOK_S)
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
                self._changed.notify_all()
            self._followers.end()

    def _write(self) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        with self._turn.wait(self._goes_on):
            while run := self._incoming.gap(0, segment_count(self._incoming.size_bytes)):
                while run.at < run.stop and self._goes_on():
                    self._write_piece(run, buffer)
                if self._error is not None:
                    return

    def _write_piece(self, run: Run, buffer: memoryview) -> None:
        start = run.at
        count = os.preadv(self._fd, [buffer[: run.stop - start]], start)
        if not count:
            raise Corrupt(f"{self._source} is shorter than it was.", digest=self._incoming.digest)
        run.write(buffer[:count])
        self._progress.advance(count)
        self._on_written(count)
        self._copied = run.at
        self._followers.wrote()

    def _drop_copied(self) -> None:
        """Let the page cache go of what was copied."""
        start, self._dropped = self._dropped, self._copied
        if self._dropped > start:
            os.posix_fadvise(self._fd, start, self._dropped - start, os.POSIX_FADV_DONTNEED)

    def _goes_on(self) -> bool:
        """Return whether the other threads work without an error; raises Cancelled if the work was stopped."""
        self._progress.check()
        return self._error is None
