"""A file on its way from the hub, as one client reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from modelshelf.domain.models import FileEntry
from modelshelf.errors import Corrupt, Unavailable
from modelshelf.services.mirror.contents import ServedFile
from modelshelf.services.mirror.fetch import Fetch
from modelshelf.store.blobs.arriving import ArrivingBlob
from modelshelf.store.layout import Base
from modelshelf.store.os_errors import open_to_read


class Arrival:
    """The bytes of a file that is being fetched.

    **Concurrency:** one reader.

    Args:
        base: The base that it goes into.
        file: The file.
        fetch: What brings it.
        find: Looks for it among the files that are there.
        on_damage: Called when bytes that were given away turned out to be wrong.
    """

    def __init__(
        self,
        base: Base,
        file: FileEntry,
        fetch: Fetch,
        find: Callable[[], ServedFile],
        on_damage: Callable[[], None],
    ) -> None:
        self._base, self._file, self._fetch = base, file, fetch
        self._find, self._on_damage = find, on_damage
        self._blob: ArrivingBlob | None = None
        self._gave = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self._close()

    def read(self, at: int, stop: int) -> bytes | BinaryIO | None:
        """Return the next bytes; the whole file once it was verified; None if nothing more is there yet.

        Args:
            at: The offset of the next byte.
            stop: The offset after the last byte that is wanted.

        Raises:
            Corrupt: What was given away is damaged.
            ShelfError: It doesn't come.
        """
        was_over = self._fetch.is_over
        if self._blob is None:
            self._open()
        if self._blob is not None:
            if found := self._blob.read(at, stop):
                self._gave = True
                return found
            if self._is_whole(self._blob):
                return self._blob.duplicate()
        elif (path := self._find().disk_path) is not None:
            return open_to_read(Path(path))
        self._check(was_over=was_over)
        return None

    def _open(self) -> None:
        try:
            self._blob = ArrivingBlob(self._base, self._file.digest, self._file.size_bytes)
        except FileNotFoundError:  # not begun, or whole
            self._blob = None

    def _is_whole(self, blob: ArrivingBlob) -> bool:
        try:
            return blob.is_whole()
        except Corrupt:
            if self._gave:
                self._on_damage()
                raise
            self._close()  # nobody has seen those bytes: the next part is as good as the first
            return False

    def _close(self) -> None:
        if self._blob is not None:
            self._blob.__exit__(None, None, None)
        self._blob = None

    def _check(self, *, was_over: bool) -> None:
        """Raise if the file doesn't come any more."""
        if (err := self._fetch.why_not(self._file.path)) is not None:
            raise err
        if was_over:
            raise Unavailable(f"{self._file.path} went while it was read.", hint="Ask again.", retry_after_s=1)
