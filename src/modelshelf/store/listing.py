"""Folders as first read: each is listed once, and each of its entries is stat'ed once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from operator import attrgetter

_NAME = attrgetter("name")


class Listing:
    """One reading of a tree. It doesn't notice later changes: a new reading needs a new one."""

    def __init__(self) -> None:
        self._folders: dict[str, list[os.DirEntry[str]] | OSError] = {}
        self._below: dict[str, list[os.DirEntry[str]]] = {}
        """The folders in each folder that has some."""
        self._seen: dict[str, os.DirEntry[str]] = {}

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return a folder's entries by name; an entry keeps its first stat result.

        Raises:
            OSError: It doesn't exist, or can't be read.
        """
        found = self._folders.get(folder)
        if found is None:
            found = self._read(folder)
        if isinstance(found, OSError):
            raise found
        return found

    def readable(self, folder: str) -> list[os.DirEntry[str]]:
        """Return a folder's entries by name; none if it can't be read."""
        found = self._folders.get(folder)
        if found is None:
            found = self._read(folder)
        return [] if isinstance(found, OSError) else found

    def folder(self, path: str) -> os.DirEntry[str] | None:
        """Return the entry of a folder that isn't a link, if the folder in which it lies was listed."""
        return self._seen.get(path)

    def lacks(self, folder: str, name: str) -> bool:
        """Return whether a folder was listed and has nothing of this name; nothing is read for it."""
        found = self._folders.get(folder)
        return isinstance(found, list) and all(entry.name != name for entry in found)

    def below(self, folder: str) -> list[os.DirEntry[str]]:
        """Return the folders in a folder that aren't links, by name; none if it can't be read."""
        self.readable(folder)
        return self._below.get(folder, [])

    def walk(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """Yield everything below a folder, a folder before its content; what can't be read is left out."""
        open_folders = [iter(self.readable(folder))]
        while open_folders:
            for entry in open_folders[-1]:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    open_folders.append(iter(self.readable(entry.path)))
                    break
            else:
                open_folders.pop()

    def folders(self, folder: str) -> Iterator[list[os.DirEntry[str]]]:
        """Yield the entries of a folder, then those of each folder below; what can't be read is left out."""
        waiting = [folder]
        while waiting:
            path = waiting.pop()
            yield self.readable(path)
            if below := self._below.get(path):
                waiting += [entry.path for entry in reversed(below)]

    def _read(self, folder: str) -> list[os.DirEntry[str]] | OSError:
        found: list[os.DirEntry[str]] | OSError
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=_NAME)
            if below := [entry for entry in found if entry.is_dir(follow_symlinks=False)]:
                self._below[folder] = below
                self._seen.update({entry.path: entry for entry in below})
        except OSError as err:
            found = err
        self._folders[folder] = found
        return found
