"""A blob as it arrives: segments in any order, hashed in order, published only when the digest is right.

A part is `incoming/<digest>.part`, written at offsets, with `incoming/<digest>.map` beside it: one line for each
segment that is there, its index and the crc32 of its bytes. The map is only a claim. Whoever takes a part up reads
each claimed segment and keeps those whose crc32 agrees, so that a power cut that kept the map and lost the bytes costs
a segment and not the blob.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import zlib
from pathlib import Path
from types import TracebackType

from modelshelf.domain.plans import SEGMENT_BYTES, segment_count, segment_range
from modelshelf.errors import Corrupt
from modelshelf.store import fs
from modelshelf.store.layout import Base

_READ_BYTES = 2**20
_FLUSH_SEGMENTS = 16
"""With every sixteenth segment what has arrived is brought to the disk, so that little is left for the end."""


class Digest:
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


def file_agrees(path: Path, digest: str) -> bool:
    """Return whether the bytes of a file have this digest; reads all of it."""
    with path.open("rb", buffering=0) as file:
        running = Digest(digest, os.fstat(file.fileno()).st_size)
        view = memoryview(bytearray(_READ_BYTES))
        while count := file.readinto(view):
            running.update(view[:count])
    return running.agrees()


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

    def __init__(self, base: Base, digest: str, size_bytes: int) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self._part, self._map = base.part(digest), base.part_map(digest)
        self._fd = fs.open_part(self._part)
        self._mutex = threading.Lock()
        self._hashing = threading.Lock()
        self._running = Digest(digest, size_bytes)
        self._hashed = 0
        self._done = self._recover()
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

    def write(self, index: int, data: memoryview) -> bool:
        """Keep one whole segment; returns whether it was the last one missing.

        Raises:
            OutOfSpace: The disk is full.
        """
        start, stop = segment_range(index, self.size_bytes)
        assert data.nbytes == stop - start, (index, data.nbytes)
        fs.write_at(self._fd, data, start, self._part)
        if (index + 1) % _FLUSH_SEGMENTS == 0:
            fs.flush(self._fd, self._part)  # before this segment counts: with the last one the part is closed
        fs.append_line(self._map, f"{index} {zlib.crc32(data)}")
        with self._mutex:
            is_new = index not in self._done
            self._done.add(index)
            self._arrived_bytes += data.nbytes if is_new else 0
            is_last = is_new and len(self._done) == segment_count(self.size_bytes)
        self._hash_ahead(index, data)
        return is_last

    def publish(self, target: Path) -> None:
        """Give the blob its name, when its bytes are what it says.

        Raises:
            Corrupt: They are not; the part is gone, so that the next try begins anew.
        """
        with self._hashing:
            self._hash_rest()
            if not self._running.agrees():
                self._discard()
                raise Corrupt(
                    f"The bytes that arrived for {target.name} have another digest.",
                    hint="They were thrown away; try again, or ask whoever serves this hub.",
                    digest=self.digest,
                )
        os.ftruncate(self._fd, self.size_bytes)
        fs.publish(self._part, target)
        fs.remove_file(self._map)

    def _recover(self) -> set[int]:
        """Return the segments that the map claims and the part holds."""
        done: set[int] = set()
        buffer = memoryview(bytearray(SEGMENT_BYTES))
        for index, crc in sorted(self._claims().items()):
            start, stop = segment_range(index, self.size_bytes)
            view = buffer[: stop - start]
            if os.preadv(self._fd, [view], start) == view.nbytes and zlib.crc32(view) == crc:
                done.add(index)
                self._advance(index, view)
        return done

    def _claims(self) -> dict[int, int]:
        claims: dict[int, int] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self._map.read_text(encoding="ascii", errors="replace").splitlines():
                fields = line.split(" ")
                if len(fields) == 2 and all(field.isdigit() for field in fields):
                    claims[int(fields[0])] = int(fields[1])
        return {i: crc for i, crc in claims.items() if i < segment_count(self.size_bytes)}

    def _hash_ahead(self, index: int, data: memoryview) -> None:
        """Hash what continues the hashed prefix, unless another thread is at it.

        The segment at hand is hashed from memory; those that arrived before their turn are read again, which the
        page cache makes cheap.
        """
        if not self._hashing.acquire(blocking=False):
            return
        try:
            self._advance(index, data)
            while self._next_is_there():
                self._advance(self._hashed, self._read(self._hashed))
        finally:
            self._hashing.release()

    def _next_is_there(self) -> bool:
        with self._mutex:
            return self._hashed in self._done

    def _hash_rest(self) -> None:
        while self._hashed < segment_count(self.size_bytes):
            self._advance(self._hashed, self._read(self._hashed))

    def _advance(self, index: int, data: memoryview) -> None:
        if index == self._hashed:
            self._running.update(data)
            self._hashed += 1

    def _read(self, index: int) -> memoryview:
        start, stop = segment_range(index, self.size_bytes)
        return memoryview(os.pread(self._fd, stop - start, start))

    def _discard(self) -> None:
        fs.remove_file(self._map)
        fs.remove_file(self._part)
