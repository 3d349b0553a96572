"""Folders as first read: each is listed once, and each of its entries is stat'ed once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from operator import attrgetter

_NAME = attrgetter("name")


class Listing:
    """One reading of a tree. It doesn't notice later changes: a new reading needs a new one."""

    def __init__(self) -> None:
        self._folders: dict[str, list[os.DirEntry[str]]] = {}

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return a folder's entries by name; an entry keeps its first stat result.

        Raises:
            OSError: It doesn't exist, or can't be read.
        """
        found = self._folders.get(folder)
        if found is None:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=_NAME)
            self._folders[folder] = found
        return found

    def walk(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """Yield everything below a folder, a folder before its content; what can't be read is left out."""
        open_folders = [iter(self._readable(folder))]
        while open_folders:
            for entry in open_folders[-1]:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    open_folders.append(iter(self._readable(entry.path)))
                    break
            else:
                open_folders.pop()

    def folders(self, folder: str) -> Iterator[list[os.DirEntry[str]]]:
        """Yield the entries of a folder, then those of each folder below; what can't be read is left out."""
        found = self._readable(folder)
        yield found
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from self.folders(entry.path)

    def _readable(self, folder: str) -> list[os.DirEntry[str]]:
        with contextlib.suppress(OSError):
            return self.entries(folder)
        return []
