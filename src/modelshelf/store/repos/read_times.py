"""When the blobs of a placement were read last, from one look at each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash
from modelshelf.domain.reads import FileTimes
from modelshelf.store.layout import Repo
from modelshelf.store.listing import Listing
from modelshelf.store.repos import scan


@dataclass(frozen=True, slots=True)
class ReadTimes:
    """When each blob was read, and which files they are."""

    times: tuple[FileTimes, ...]
    identities: frozenset[tuple[int, int]]
    """Device and inode of each."""


def of_repo(repo: Repo, commit_hash: CommitHash, listing: Listing | None = None) -> ReadTimes:
    """Return those of all blobs of a repository that has one model; of its snapshot's files where it has no blobs.

    Args:
        repo: The repository.
        commit_hash: The snapshot's commit.
        listing: What was seen of it already.
    """
    blobs = (listing or Listing()).readable(str(repo.blobs))
    try:
        found = [blob.stat() for blob in blobs]
    except OSError:  # a link to a drive that isn't mounted
        found = _stats(map(Path, blobs))
    return _read_times(found or _stats(path for _, path in scan.snapshot_files(repo, commit_hash)))


def of_files(repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry]) -> ReadTimes:
    """Return those of some files of a commit, for a repository that has more than one model."""
    return _read_times(_stats(repo.snapshot(commit_hash) / file.path for file in files))


def _stats(paths: Iterable[Path]) -> list[os.stat_result]:
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found.append(path.stat())
    return found


def _read_times(found: Iterable[os.stat_result]) -> ReadTimes:
    files = {(one.st_dev, one.st_ino): one for one in found}
    times = tuple(FileTimes(one.st_atime, one.st_mtime, one.st_size) for one in files.values())
    return ReadTimes(times, frozenset(files))
