"""Reading a blob while another thread or process fetches it.

The part's map says which segments are there (see `partial`). A map may claim what a power cut took, so each segment is
compared with its claim before it is given away. The last segment is held back until the blob has its name: nobody gets
a whole file before its digest was right.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from xxhash import xxh3_64_intdigest

from modelshelf.domain.names import Digest
from modelshelf.domain.plans import CLAIM_BYTES, SEGMENT_BYTES
from modelshelf.errors import Corrupt
from modelshelf.store.layout import Base

_AT_ONCE = 16
"""How many segments are read at once: 1 MiB."""


class ArrivingBlob:
    """A blob's part that grows, and that is the blob in the end.

    Args:
        base: The base that it goes into.
        digest: Its name.
        size_bytes: Its size.

    Raises:
        FileNotFoundError: There is no part.
    """

    def __init__(self, base: Base, digest: Digest, size_bytes: int) -> None:
        self._path = base.part(digest)
        self._held_at = (max(0, size_bytes - 1) // SEGMENT_BYTES) * SEGMENT_BYTES
        with contextlib.ExitStack() as opened:
            self._map = _open(base.part_map(digest), opened)
            self._part = _open(self._path, opened)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self._opened.close()

    def is_whole(self) -> bool:
        """Return whether it was verified and has its name.

        Raises:
            Corrupt: It was discarded, because its digest was wrong.
        """
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self._path.lstat(), os.fstat(self._part)):
                return False
        if not os.fstat(self._part).st_nlink:  # deleted, and not renamed
            raise Corrupt(f"The bytes that arrived for {self._path.stem} were discarded.", hint="Ask again.")
        return True

    def read(self, at: int, stop: int) -> bytes:
        """Return the bytes from an offset that are there, at most 1 MiB; nothing if the next haven't arrived.

        Args:
            at: The offset.
            stop: The offset after the last byte that is wanted.
        """
        first, stop = at // SEGMENT_BYTES, min(stop, self._held_at)
        if at >= stop:
            return b""
        claims = self._claims(first, min(first + _AT_ONCE, -(-stop // SEGMENT_BYTES)))
        begin = first * SEGMENT_BYTES
        found = os.pread(self._part, len(claims) * SEGMENT_BYTES, begin)
        good = 0
        with memoryview(found) as view:
            for claim in claims:
                segment = view[good : good + SEGMENT_BYTES]
                if not claim or segment.nbytes < SEGMENT_BYTES or xxh3_64_intdigest(segment) != claim:
                    break
                good += SEGMENT_BYTES
        return found[at - begin : min(good, stop - begin)]

    def duplicate(self) -> BinaryIO:
        """Return the part as a file of its own, to send from."""
        return os.fdopen(os.dup(self._part), "rb", buffering=0)

    def _claims(self, first: int, last: int) -> tuple[int, ...]:
        found = os.pread(self._map, (last - first) * CLAIM_BYTES, first * CLAIM_BYTES)
        return struct.unpack_from(f"<{len(found) // CLAIM_BYTES}Q", found)


def _open(path: Path, opened: contextlib.ExitStack) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return fd
