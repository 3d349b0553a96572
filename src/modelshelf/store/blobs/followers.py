"""What follows the writing of blobs in two threads: what was written is hashed, and much of it is synced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from modelshelf.store.blobs.partial import IncomingBlob

_FLUSH_PIECES = 64
"""After so many pieces the thread that syncs is woken: waking one costs a fifth of writing a piece."""


class Followers:
    """The work of two threads, which their owner starts: `hash` and `flush`.

    Args:
        blobs: Returns the blobs that are being written.
        goes_on: Called now and then; False ends both, as an exception does.
        also: What `flush` does as well after many pieces.
    """

    def __init__(
        self,
        blobs: Callable[[], Iterable[IncomingBlob]],
        goes_on: Callable[[], bool],
        also: Callable[[], object] = lambda: None,
    ) -> None:
        self._blobs = blobs
        self._goes_on = goes_on
        self._also = also
        self._to_hash, self._to_flush = _Written(1), _Written(_FLUSH_PIECES)

    def wrote(self) -> None:
        """Say that a piece was written."""
        self._to_hash.more()
        self._to_flush.more()

    def end(self) -> None:
        """Say that no more will be written."""
        self._to_hash.end()
        self._to_flush.end()

    def hash(self) -> None:
        """Hash what is written, until the end."""
        while self._to_hash.wait() and self._goes_on():
            for blob in self._blobs():
                blob.hash_ahead(self._goes_on)

    def flush(self) -> None:
        """Bring it to the disk, until the end."""
        while self._to_flush.wait() and self._goes_on():
            for blob in self._blobs():
                blob.flush_ahead()
            self._also()


class _Written:
    """Pieces that were written, and that one thread waits for."""

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._changed = threading.Condition()
        self._count = 0
        self._is_over = False

    def more(self) -> None:
        with self._changed:
            self._count += 1
            if self._count == self._enough:
                self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()

    def wait(self) -> bool:
        """Return True once there is enough, or the last of it; False if there won't be more."""
        with self._changed:
            while self._count < self._enough and not self._is_over:
                self._changed.wait()
            count, self._count = self._count, 0
            return count > 0
