"""Pieces of a blob that were just written, lent in order to whoever hashes it, who needn't read them again."""

from __future__ import annotations

import threading
from collections import deque

PIECE_BYTES = 2**20
"""Bytes are read, written and hashed in pieces of this size, which fit into a core's cache."""
MOST_LENT = 16
"""How many pieces of a blob wait in memory to be hashed; what is written while there is no room is read again."""


class Buffer:
    """What one thread reads pieces into."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(PIECE_BYTES))
        """The memory for the next piece: another one after it was lent."""


class LentPieces:
    """The pieces of one blob that wait in memory to be hashed.

    **Concurrency:** several threads may write; one at a time hashes.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._lent: deque[tuple[int, memoryview]] = deque()
        self._free: list[memoryview] = []
        self._next = 0
        """The offset up to which bytes are hashed, being hashed, or lent."""

    def lend(self, buffer: Buffer, count: int, at: int) -> None:
        """Lend the first bytes of a buffer, if they are the next to be hashed and there is room.

        Args:
            buffer: What was written.
            count: How many bytes: whole segments, or the blob's last ones.
            at: Their offset in the blob.
        """
        with self._mutex:
            if at == self._next and len(self._lent) < MOST_LENT:
                self._lent.append((at, buffer.view[:count]))
                self._next += count
                buffer.view = self._free.pop() if self._free else Buffer().view

    def borrow(self, at: int, stop: int) -> memoryview | None:
        """Return the piece at an offset; None if none is lent, and then the bytes up to `stop` count as being read."""
        with self._mutex:
            if self._lent and self._lent[0][0] == at:
                return self._lent.popleft()[1]
            self._next = stop
            return None

    def give_back(self, piece: memoryview) -> None:
        """Give a borrowed piece back: its memory is used again."""
        with self._mutex:
            self._free.append(memoryview(piece.obj))
