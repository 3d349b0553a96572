"""Digests that no name and no list gives: computed once for a file, without making others wait."""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import stat
import threading
from concurrent.futures import Future

from modelshelf.errors import Unavailable
from modelshelf.store.unnoticed import open_unnoticed

_log = logging.getLogger(__name__)
_LFS_FROM_BYTES = 10 * 10**6
_AT_ONCE_BYTES = 64 << 20
"""Up to this many bytes a request waits for the digest; it takes a tenth of a second."""
_MOST_BYTES = 500 * 10**9
"""A larger file is a sparse file, or nothing that anybody asks for without a list of the commit."""
_CHUNK_BYTES = 1 << 20
_RATE_BYTES_PER_S = 500 * 10**6
_Key = tuple[str, int, int]


class FileDigests:
    """The Hub's digests of files, remembered by path, size and mtime.

    **Concurrency:** each file is read by one thread, however many ask: a small one by the first that asks, while the
    others wait; large ones by a background thread, one after the other, the smallest first.
    """

    def __init__(self) -> None:
        self._found: dict[_Key, Future[str]] = {}
        self._mutex = threading.Lock()
        self._large: queue.PriorityQueue[tuple[int, _Key]] = queue.PriorityQueue()
        self._behind: threading.Thread | None = None

    def of(self, path: str, found: os.stat_result) -> str | None:
        """Return a file's digest; None for one that is too large to be read.

        Args:
            path: Its path, without a link in any part.
            found: Its stat result.

        Raises:
            OSError: It can't be read.
            Unavailable: It is being read; says when to ask again.
        """
        if found.st_size > _MOST_BYTES:
            _log.warning("too_large_to_read", extra={"path": path, "size_bytes": found.st_size})
            return None
        key = (path, found.st_size, found.st_mtime_ns)
        with self._mutex:
            is_new = key not in self._found
            digest = self._found.setdefault(key, Future())
        is_large = found.st_size > _AT_ONCE_BYTES
        if is_new and not is_large:
            self._read(key)
        elif is_new:
            self._read_behind(key)
        if is_large and not digest.done():
            wait_s = min(60.0, max(1.0, found.st_size / _RATE_BYTES_PER_S))
            raise Unavailable(f"{path} is being read for its digest.", hint="Ask again.", retry_after_s=wait_s)
        return digest.result()

    def _read_behind(self, key: _Key) -> None:
        self._large.put((key[1], key))
        with self._mutex:
            if self._behind is None:
                self._behind = threading.Thread(target=self._read_large, name="file-digests", daemon=True)
                self._behind.start()

    def _read_large(self) -> None:
        while True:
            self._read(self._large.get()[1])

    def _read(self, key: _Key) -> None:
        """Read a file, and tell all who wait; one that can't be read is tried again at the next request."""
        try:
            self._found[key].set_result(_digest(key[0], key[1]))
        except OSError as err:
            with self._mutex:
                self._found.pop(key).set_exception(err)


def _digest(path: str, size_bytes: int) -> str:
    """Return the Hub's digest of a file: the Hub keeps everything above 10 MB in LFS."""
    hasher = hashlib.sha256() if size_bytes > _LFS_FROM_BYTES else hashlib.sha1(b"blob %d\0" % size_bytes)
    descriptor = open_unnoticed(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a file any more")
        read_bytes = 0
        while read_bytes <= size_bytes and (chunk := file.read(_CHUNK_BYTES)):
            hasher.update(chunk)
            read_bytes += len(chunk)
    return hasher.hexdigest()
