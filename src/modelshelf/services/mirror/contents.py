"""The files of a commit as the hub face serves them, kept between the pages of one list."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from modelshelf.services.mirror.repositories import ResolvedRevision

_MOST_KEPT = 4
_SETTLED_NS = 2 * 10**9
"""A folder that changed within this time isn't trusted, because the next change may leave it the same mtime."""


class ServedFile(NamedTuple):
    """One file of a commit."""

    path: str
    """Its path in the repository."""
    disk_path: str | None
    """The path of its bytes, without a link in any part; a `Path` for each of 50,000 would take longer than all else.

    None: the commit has it, and no tier does.
    """
    size_bytes: int
    etag: str
    """Its digest: 64 hex of sha256 (LFS) or 40 hex of the git blob's sha1."""
    commit_hash: str
    modified_at: float = 0.0
    """Its mtime in seconds since 1970; 0 for a file that no tier has."""

    @property
    def is_lfs(self) -> bool:
        """Whether the Hub keeps this file in LFS."""
        return len(self.etag) == 64


@dataclass(frozen=True)
class Contents:
    """The files of a commit."""

    files: list[ServedFile]
    """By path, including those that no tier has."""
    whole: bool
    """Whether a list of the commit is known. Clients keep such a list for ever, so one that may be short says so."""

    @functools.cached_property
    def by_path(self) -> dict[str, ServedFile]:
        """The files by their paths."""
        return {file.path: file for file in self.files}

    @functools.cached_property
    def folders(self) -> set[str]:
        """The folders above the files."""
        found: set[str] = set()
        for path in self.by_path:
            folder = path.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return found

    @functools.cached_property
    def paths(self) -> list[str]:
        """The paths of all files and folders, in order."""
        return sorted([*self.by_path, *self.folders])


class FolderTimes:
    """The mtimes of a commit's lists, its snapshots' folders and their blobs, each recorded before reading.

    Args:
        resolved: The commit, whose lists are recorded at once.
    """

    def __init__(self, resolved: ResolvedRevision) -> None:
        self._before_ns = time.time_ns() - _SETTLED_NS
        self._found: dict[str, int | None] = {}
        self._tell_all = True
        for place in resolved.places:
            self.note(str(place.repo.tree(place.commit_hash)))

    def note(self, path: str) -> None:
        """Record the mtime of a list or a folder."""
        self._found[path] = _mtime_ns(path)

    def distrust(self) -> None:
        """Record that a file was found of which no folder's mtime tells when it changes."""
        self._tell_all = False

    def are_settled(self) -> bool:
        """Return whether they tell of every change, and none of them changed recently."""
        return self._tell_all and all(mtime is None or mtime < self._before_ns for mtime in self._found.values())

    def are_the_same(self) -> bool:
        """Return whether none of them has changed."""
        return all(_mtime_ns(path) == mtime for path, mtime in self._found.items())


class ContentsMemory:
    """The last lists: a client that asks for 50 pages of one has it read once.

    **Concurrency:** safe from any thread.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], tuple[Contents, FolderTimes]] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, resolved: ResolvedRevision) -> Contents | None:
        """Return the files of a commit; None if they aren't known, or may have changed."""
        with self._mutex:
            kept = self._kept.get(_key(resolved))
        return kept[0] if kept is not None and kept[1].are_the_same() else None

    def keep(self, resolved: ResolvedRevision, contents: Contents, mtimes: FolderTimes) -> None:
        """Keep the files of a commit that come from its lists, or from links to blobs."""
        if mtimes.are_settled():
            with self._mutex:
                self._kept[_key(resolved)] = contents, mtimes
                self._kept.move_to_end(_key(resolved))
                while len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)


def _key(resolved: ResolvedRevision) -> tuple[str, ...]:
    return (resolved.commit_hash, *(str(place.repo.path) for place in resolved.places))


def _mtime_ns(path: str) -> int | None:
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return None
