"""A blob as it arrives: segments in any order, hashed in order, published only when the digest is right.

A part is `incoming/<digest>.part`, written at offsets, with `incoming/<digest>.map` beside it: one line for each
segment that is there, its index and the XXH3 of its bytes. The map is only a claim. Whoever takes a part up reads
each claimed segment and keeps those whose checksum agrees, so that a power cut that kept the map and lost the bytes
costs a segment and not the blob. XXH3 costs a fiftieth of sha256, crc32 a third.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from xxhash import xxh3_64

from modelshelf.domain.names import Digest
from modelshelf.domain.plans import segment_count, segment_range
from modelshelf.errors import BadInput, Corrupt, ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.os_errors import open_to_read
from modelshelf.store.small_files import LIST_BYTES, read_small_text

PIECE_BYTES = 2**20
"""Bytes are read, written and hashed in pieces of this size, which fit into the cache of a core."""
_MAP_LINE = re.compile(r"([0-9]{1,12}) ([0-9a-f]{16})")
_FLUSH_SEGMENTS = 16
"""What so many segments wrote is brought to the disk meanwhile, so that little is left for the end."""


class RunningDigest:
    """The running digest that a blob's name promises: sha256 for 64 hex, git's blob sha1 for 40.

    Source: huggingface_hub `utils/sha.py`; git hashes `blob <size>\\0` before the bytes.
    """

    def __init__(self, name: str, size_bytes: int) -> None:
        self._expected = name
        self._hash = hashlib.sha256() if len(name) == 64 else hashlib.sha1(b"blob %d\0" % size_bytes)

    def update(self, data: memoryview | bytes) -> None:
        """Take the next bytes."""
        self._hash.update(data)

    def agrees(self) -> bool:
        """Return whether the bytes so far are what the name says."""
        return self._hash.hexdigest() == self._expected


def file_agrees(path: Path, digest: Digest) -> bool:
    """Return whether the bytes of a file have this digest; reads all of it.

    Raises:
        Unavailable: It vanished.
        Denied: It cannot be read.
    """
    with open_to_read(path) as file:
        running = RunningDigest(digest, os.fstat(file.fileno()).st_size)
        view = memoryview(bytearray(PIECE_BYTES))
        while count := file.readinto(view):
            running.update(view[:count])
    return running.agrees()


def digest_of(path: Path, on_read: Callable[[int], None] = lambda count: None) -> Digest:
    """Return the sha256 of a file; reads all of it.

    Args:
        path: The file.
        on_read: Told how many bytes were read now; may raise to stop.

    Raises:
        Unavailable, Denied: See `file_agrees`.
    """
    found = hashlib.sha256()
    with open_to_read(path) as file:
        view = memoryview(bytearray(PIECE_BYTES))
        while count := file.readinto(view):
            found.update(view[:count])
            on_read(count)
    return Digest(found.hexdigest())


def written_bytes(part: Path) -> int:
    """Return how many bytes of a part are on the disk; its holes are still to be written. 0 when there is none."""
    try:
        found = part.stat()
    except OSError:
        return 0
    return min(found.st_size, found.st_blocks * 512)


class IncomingBlob:
    """One blob on its way in. The caller holds its lock.

    **Concurrency:** `write` may be called from several threads at once, each with its own segments.
    **Crash:** what `write` returned from is found again by the next one who opens it.
    """

    def __init__(self, base: Base, digest: Digest, size_bytes: int) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self._root, self._part, self._map = base.path, base.part(digest), base.part_map(digest)
        self._fd = fs.open_part(self._root, self._part)
        self._mutex = threading.Lock()
        self._hashing, self._flushing = threading.Lock(), threading.Lock()
        self._running = RunningDigest(digest, size_bytes)
        self._hashed = 0
        self._done = self._recover()
        self._flushed = len(self._done)
        self._arrived_bytes = sum(stop - start for start, stop in (segment_range(i, size_bytes) for i in self._done))

    def __enter__(self) -> IncomingBlob:
        """Return itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the part; what arrived stays."""
        os.close(self._fd)

    def missing(self) -> list[int]:
        """Return the indices of the segments that are not there."""
        with self._mutex:
            return [i for i in range(segment_count(self.size_bytes)) if i not in self._done]

    def has(self, index: int) -> bool:
        """Return whether a segment is there."""
        with self._mutex:
            return index in self._done

    def arrived_bytes(self) -> int:
        """Return how many bytes are there."""
        with self._mutex:
            return self._arrived_bytes

    def write(self, index: int, pieces: Iterable[memoryview]) -> bool:
        """Keep one whole segment; returns whether it was the last one missing.

        Args:
            index: Which.
            pieces: Its bytes in order. Each is done with when the next is asked for, so that one small buffer, which
                stays in the processor's cache, serves for all.

        Raises:
            OutOfSpace: The disk is full.
        """
        start, stop = segment_range(index, self.size_bytes)
        at, checksum = start, xxh3_64()
        for piece in pieces:
            fs.write_at(self._fd, piece, at, self._part)
            checksum.update(piece)
            at += piece.nbytes
        assert at == stop, (index, at)
        fs.append_line(self._root, self._map, f"{index} {checksum.hexdigest()}")
        with self._mutex:
            is_new = index not in self._done
            self._done.add(index)
            self._arrived_bytes += stop - start if is_new else 0
            return is_new and len(self._done) == segment_count(self.size_bytes)

    def publish(self, target: Path, like: Path | None = None) -> None:
        """Give the blob its name, when its bytes are what it says.

        Args:
            target: Where.
            like: The file that it was copied from, whose mode and times it takes as far as the file system lets it.

        Raises:
            Corrupt: They are not; the part is gone, so that the next try begins anew.
        """
        with self._hashing, self._flushing:
            self._flushed = segment_count(self.size_bytes)
            while self._hashed < segment_count(self.size_bytes):
                self._hash_next()
            if not self._running.agrees():
                self._discard()
                raise Corrupt(
                    f"The bytes that arrived for {target.name} don't match its digest.",
                    hint="They were discarded; try again, or ask whoever runs this hub.",
                    digest=self.digest,
                )
        os.ftruncate(self._fd, self.size_bytes)
        if like is not None:
            with contextlib.suppress(ShelfError, OSError):
                fs.take_mode(self._root, self._part, like)
            fs.take_folder_permissions(self._root, self._part)
        fs.publish(self._root, self._part, target)
        fs.remove_file(self._root, self._map)

    def _recover(self) -> set[int]:
        """Return the segments that the map claims and the part holds."""
        done: set[int] = set()
        for index, claimed in sorted(self._claims().items()):
            checksum = xxh3_64()
            for piece in self._read(index):
                checksum.update(piece)
            if checksum.hexdigest() == claimed:
                done.add(index)
        return done

    def _claims(self) -> dict[int, str]:
        claims: dict[int, str] = {}
        count = segment_count(self.size_bytes)
        with contextlib.suppress(OSError, BadInput):
            for line in read_small_text(self._map, LIST_BYTES).splitlines():
                if (fields := _MAP_LINE.fullmatch(line)) and int(fields[1]) < count:
                    claims[int(fields[1])] = fields[2]
        return claims

    def hash_ahead(self, go_on: Callable[[], bool] = lambda: True) -> None:
        """Hash what continues the hashed prefix, unless another thread is at it; `publish` then has less to do.

        It is read again, which the page cache makes cheap: a tenth of what hashing takes.

        Args:
            go_on: Asked before each segment.
        """
        if not self._hashing.acquire(blocking=False):
            return
        try:
            while self._next_is_there() and go_on():
                self._hash_next()
        finally:
            self._hashing.release()

    def flush_ahead(self) -> None:
        """Bring what was written to the disk when it is much, unless another thread is at it or it was published."""
        if not self._flushing.acquire(blocking=False):
            return
        try:
            with self._mutex:
                written = len(self._done)
            if written - self._flushed >= _FLUSH_SEGMENTS:
                fs.flush(self._fd, self._part)
                self._flushed = written
        finally:
            self._flushing.release()

    def _next_is_there(self) -> bool:
        with self._mutex:
            return self._hashed in self._done

    def _hash_next(self) -> None:
        for piece in self._read(self._hashed):
            self._running.update(piece)
        self._hashed += 1

    def _read(self, index: int) -> Iterator[memoryview]:
        """Read a segment from the part, piece by piece; fewer bytes where the part ends before it."""
        buffer = memoryview(bytearray(PIECE_BYTES))
        start, stop = segment_range(index, self.size_bytes)
        while start < stop and (count := os.preadv(self._fd, [buffer[: stop - start]], start)):
            yield buffer[:count]
            start += count

    def _discard(self) -> None:
        fs.remove_file(self._root, self._map)
        fs.remove_file(self._root, self._part)
