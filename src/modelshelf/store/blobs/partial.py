"""A blob as it arrives: segments in any order, hashed in order, published only when the digest is right.

A part is `incoming/<digest>.part`, written at offsets, with `incoming/<digest>.map` beside it: eight bytes for each
segment in order, the XXH3 of its bytes, or zeros if it is missing. 100 GB have a map of 12 MB, which is written
in place. The map is only a claim. Resuming a part reads each claimed segment and keeps those whose checksum
agrees, so that a power cut that kept the map and lost the bytes, or tore the map, costs a segment and not the blob.
XXH3 costs a fiftieth of sha256, crc32 a third.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from xxhash import xxh3_64

from modelshelf.domain.names import Digest
from modelshelf.domain.plans import CLAIM_BYTES, SEGMENT_BYTES, segment_count, segment_range
from modelshelf.errors import BadInput, Corrupt, ShelfError
from modelshelf.store import fs
from modelshelf.store.blobs.lent_pieces import PIECE_BYTES, Buffer, LentPieces
from modelshelf.store.layout import Base
from modelshelf.store.os_errors import open_to_read
from modelshelf.store.small_files import read_small_bytes

_FLUSH_BYTES = 128 * 2**20
"""After so many bytes a thread syncs what was written, so that little is left for the end."""
_LOOK_S = 0.2


class RunningDigest:
    """The running digest of a blob, by its name: sha256 for 64 hex, git's blob sha1 for 40.

    Source: huggingface_hub `utils/sha.py`; git hashes `blob <size>\\0` before the bytes.
    """

    def __init__(self, name: str, size_bytes: int) -> None:
        self._expected = name
        self._hash = hashlib.sha256() if len(name) == 64 else hashlib.sha1(b"blob %d\0" % size_bytes)

    def update(self, data: memoryview | bytes) -> None:
        """Add the next bytes."""
        self._hash.update(data)

    def agrees(self) -> bool:
        """Return whether the bytes so far match the name."""
        return self._hash.hexdigest() == self._expected


def file_agrees(path: Path, digest: Digest) -> bool:
    """Return whether the bytes of a file have this digest; reads all of it.

    Raises:
        Unavailable: It was deleted.
        Denied: It can't be read.
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
        on_read: Called with the number of bytes just read; may raise to stop.

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


def written(base: Base) -> dict[str, int]:
    """Return how many bytes of each part in a base are on the disk, by its digest; see `written_bytes`."""
    with contextlib.suppress(OSError), os.scandir(base.incoming) as entries:
        parts = [Path(entry.path) for entry in entries if entry.name.endswith(".part")]
        return {part.stem: written_bytes(part) for part in parts}
    return {}


def written_bytes(part: Path) -> int:
    """Return how many bytes of a part are on the disk; its holes are still to be written. 0 if there is no part."""
    try:
        found = part.stat()
    except OSError:
        return 0
    return min(found.st_size, found.st_blocks * 512)


class Run:
    """Bytes in order, from the beginning of a segment or from where they were cut off.

    A segment in progress is known only to this object; its claim is written to the disk once it is complete.
    """

    def __init__(self, blob: IncomingBlob, start: int, stop: int) -> None:
        self.at = start
        """The offset of the next byte."""
        self.stop = stop
        """The offset after the last byte."""
        self._blob = blob
        self._checksum = xxh3_64()

    def write(self, piece: memoryview, buffer: Buffer | None = None) -> bool:
        """Write the next bytes; return whether they complete the blob, which only one of all runs is told.

        Args:
            piece: The bytes.
            buffer: What begins with them, and may be lent to whoever hashes.

        Raises:
            OutOfSpace: The disk is full.
        """
        first = self.at // SEGMENT_BYTES
        self._blob.put(piece, self.at)
        claims = self._checked(piece)
        if buffer is not None:
            self._blob.lend(buffer, piece.nbytes, self.at - piece.nbytes)
        return self._blob.claim(first, claims)

    def _checked(self, piece: memoryview) -> list[int]:
        """Go on by a piece; return the checksums of the segments that it completes."""
        claims = list[int]()
        while piece.nbytes:
            _, stop = segment_range(self.at // SEGMENT_BYTES, self._blob.size_bytes)
            taken = piece[: stop - self.at]
            self._checksum.update(taken)
            self.at += taken.nbytes
            piece = piece[taken.nbytes :]
            if self.at == stop:
                claims.append(self._checksum.intdigest())
                self._checksum.reset()
        return claims


class IncomingBlob:
    """One partial blob. The caller holds its lock.

    **Concurrency:** several threads may write at once, each with a `Run` over segments of its own.
    **Crash:** the next process that opens it finds each segment that a `Run` has written to its end.

    Args:
        base: The base that it goes into.
        digest: Its name.
        size_bytes: Its size.
        check: Called now and then during long reads; may raise to stop.
    """

    def __init__(self, base: Base, digest: Digest, size_bytes: int, check: Callable[[], None] = lambda: None) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self._check = check
        self._root, self._part, self._map = base.path, base.part(digest), base.part_map(digest)
        self._mutex = threading.Lock()
        self._hashing, self._flushing = threading.Lock(), threading.Lock()
        self._running = RunningDigest(digest, size_bytes)
        self._buffer = memoryview(bytearray(min(PIECE_BYTES, size_bytes)))
        """For the one thread that hashes."""
        self._lent = LentPieces()
        self._hashed = 0
        self._done = bytearray(segment_count(size_bytes))
        """1 for each segment that is there."""
        self._arrived_bytes = 0
        with contextlib.ExitStack() as opened:
            self._fd = self._open(self._part, opened)
            claims = self._claims()
            self._map_fd = self._open(self._map, opened)
            self._recover(claims)
            self._opened = opened.pop_all()
        self._flushed_bytes = self._arrived_bytes

    def __enter__(self) -> IncomingBlob:
        """Return itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the part and keep what arrived; whoever follows finds nothing to do."""
        with self._hashing, self._flushing:
            self._hashed, self._flushed_bytes = len(self._done), self.size_bytes
            self._opened.close()

    def missing(self) -> list[int]:
        """Return the indices of the missing segments."""
        with self._mutex:
            return [index for index, is_there in enumerate(self._done) if not is_there]

    def gap(self, first: int, last: int) -> Run | None:
        """Return a run over the first missing bytes between two segments; None if none are missing.

        Args:
            first: The first segment to consider.
            last: The one after the last.
        """
        with self._mutex:
            begin = self._done.find(0, first, last)
            end = self._done.find(1, begin, last) if begin >= 0 else -1
        if begin < 0:
            return None
        return Run(self, begin * SEGMENT_BYTES, min((end if end >= 0 else last) * SEGMENT_BYTES, self.size_bytes))

    def arrived_bytes(self) -> int:
        """Return how many bytes are there."""
        with self._mutex:
            return self._arrived_bytes

    def put(self, piece: memoryview, at: int) -> None:
        """Write bytes that no claim covers yet; for `Run`."""
        fs.write_at(self._fd, piece, at, self._part)

    def lend(self, buffer: Buffer, count: int, at: int) -> None:
        """Lend whole segments to whoever hashes, before they are claimed; for `Run`."""
        if at % SEGMENT_BYTES == 0 and (count % SEGMENT_BYTES == 0 or at + count == self.size_bytes):
            self._lent.lend(buffer, count, at)

    def claim(self, first: int, claims: list[int]) -> bool:
        """Claim segments, from one on, with these checksums; for `Run`."""
        if not claims:
            return False
        packed = memoryview(struct.pack(f"<{len(claims)}Q", *claims))
        fs.write_at(self._map_fd, packed, first * CLAIM_BYTES, self._map)
        with self._mutex:
            new_bytes = self._mark(first, len(claims))
            self._arrived_bytes += new_bytes
            return bool(new_bytes) and 0 not in self._done

    def _mark(self, first: int, count: int) -> int:
        """Mark segments as there; return the bytes of those that weren't."""
        new = [index for index in range(first, first + count) if not self._done[index]]
        for index in new:
            self._done[index] = 1
        return sum(stop - start for start, stop in (segment_range(index, self.size_bytes) for index in new))

    def publish(self, target: Path, like: Path | None = None) -> None:
        """Give the blob its name if its digest is right.

        Args:
            target: Its path.
            like: The file that it was copied from, whose mode and times it takes if the file system allows.

        Raises:
            Corrupt: It is wrong; the part is deleted, so that the next try starts again.
        """
        with self._hashing_alone(), self._flushing:
            self._flushed_bytes = self.size_bytes
            while self._hashed < len(self._done):
                self._check()
                self._hash_next(len(self._done))
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

    @contextlib.contextmanager
    def _hashing_alone(self) -> Iterator[None]:
        """Wait until nobody else hashes."""
        while not self._hashing.acquire(timeout=_LOOK_S):
            self._check()
        try:
            yield
        finally:
            self._hashing.release()

    def _open(self, path: Path, opened: contextlib.ExitStack) -> int:
        fd = fs.open_part(self._root, path)
        opened.callback(os.close, fd)
        return fd

    def _claims(self) -> tuple[int, ...]:
        """Return what the map claims; one that can't be this blob's is deleted."""
        most_bytes = len(self._done) * CLAIM_BYTES
        try:
            found = read_small_bytes(self._map, most_bytes)
        except FileNotFoundError:
            return ()
        except (OSError, BadInput):
            fs.remove_file(self._root, self._map)
            return ()
        whole = len(found) // CLAIM_BYTES
        return struct.unpack_from(f"<{whole}Q", found)

    def _recover(self, claims: tuple[int, ...]) -> None:
        """Mark the segments that the map claims and the part holds."""
        for index, claimed in enumerate(claims):
            if claimed:
                self._check()
                checksum = xxh3_64()
                for piece in self._read(index, index + 1):
                    checksum.update(piece)
                if checksum.intdigest() == claimed:
                    self._arrived_bytes += self._mark(index, 1)

    def hash_ahead(self, go_on: Callable[[], bool] = lambda: True) -> None:
        """Hash what follows the hashed prefix, unless another thread does; `publish` then has less to do.

        What isn't lent is read again, which takes a tenth of the time that hashing takes, on tmpfs a quarter.

        Args:
            go_on: Called before each piece; False stops.
        """
        if not self._hashing.acquire(blocking=False):
            return
        try:
            while (there := self._prefix()) > self._hashed and go_on():
                self._hash_next(there)
        finally:
            self._hashing.release()

    def flush_ahead(self) -> None:
        """Sync what was written once it is much, unless another thread does or the blob was published."""
        if not self._flushing.acquire(blocking=False):
            return
        try:
            written = self.arrived_bytes()
            if written - self._flushed_bytes >= _FLUSH_BYTES:
                fs.flush(self._fd, self._part)
                self._flushed_bytes = written
        finally:
            self._flushing.release()

    def _prefix(self) -> int:
        """Return how many segments are there before the first missing one."""
        with self._mutex:
            gap = self._done.find(0, self._hashed)
        return gap if gap >= 0 else len(self._done)

    def _hash_next(self, there: int) -> None:
        """Hash the next piece; the segments before `there` can be read."""
        at, stop = self._hashed * SEGMENT_BYTES, min(there, self._hashed + PIECE_BYTES // SEGMENT_BYTES)
        if (lent := self._lent.borrow(at, stop * SEGMENT_BYTES)) is not None:
            self._running.update(lent)
            stop = self._hashed + segment_count(lent.nbytes)
            self._lent.give_back(lent)
        else:
            for piece in self._read(self._hashed, stop):
                self._running.update(piece)
        self._hashed = stop

    def _read(self, first: int, last: int) -> Iterator[memoryview]:
        """Read segments up to and without `last`; fewer bytes if the part ends before."""
        at, stop = first * SEGMENT_BYTES, min(last * SEGMENT_BYTES, self.size_bytes)
        while at < stop and (count := os.preadv(self._fd, [self._buffer[: stop - at]], at)):
            yield self._buffer[:count]
            at += count

    def _discard(self) -> None:
        fs.remove_file(self._root, self._map)
        fs.remove_file(self._root, self._part)
