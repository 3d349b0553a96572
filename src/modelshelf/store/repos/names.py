"""The names of one repository, walked once and shared by all that judge them; no byte of a blob is read."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import COMMIT_HASH, CommitHash, Digest, RefName, is_digest
from modelshelf.store.layout import Repo
from modelshelf.store.listing import Listing
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import scan, trees

_NAME, _SIZE = attrgetter("name"), attrgetter("st_size")
_IS_FILE, _IS_LINK, _STATUS = os.DirEntry.is_file, os.DirEntry.is_symlink, os.DirEntry.stat
_PART = re.compile(r"(.+?)\.(?:[0-9a-f]{8}\.)?(?:incomplete|downloadInProgress)")


class SnapshotFile(NamedTuple):
    """A file or a link of a snapshot."""

    name: str
    """Its path in the repository."""
    place: str
    """Its path on the disk."""
    link: str | None
    """The text of a link, empty if it can't be read; None if it isn't a link."""
    digest: Digest | None
    """The repository's blob that a link leads to; None if it leads to none."""

    @property
    def path(self) -> Path:
        """Its path on the disk."""
        return Path(self.place)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of a snapshot's folder."""

    files: tuple[SnapshotFile, ...]
    faults: tuple[str, ...]
    """Folders that can't be read, in sentences."""


class RepoNames:
    """The names of one repository; each part is read on first use.

    Args:
        repo: The repository's folder.
        listing: What was seen of it already.
    """

    def __init__(self, repo: Repo, listing: Listing | None = None) -> None:
        self.repo, self.folders = repo, repo.folders
        self.listing = listing or Listing()
        self._snapshots: dict[CommitHash, Snapshot] = {}
        self._lists: dict[CommitHash, tuple[FileEntry, ...]] = {}
        self.judged: tuple[object, bool] | None = None
        """What `recorded` was asked last, and its answer."""

    @cached_property
    def blobs(self) -> dict[Digest, int]:
        """The blobs with their sizes; see `scan.blob_sizes`."""
        return scan.blob_sizes(self.repo, self.listing)

    @cached_property
    def viewed(self) -> frozenset[Digest]:
        """The blobs that are a view's links; see `scan.viewed`."""
        return scan.viewed(self.repo, self.listing)

    def is_view(self, commit_hash: CommitHash) -> bool:
        """Return whether a snapshot is a view's: each of its files is a link to bytes elsewhere."""
        files = self.snapshot(commit_hash).files if self.viewed else ()
        return bool(files) and all(file.digest in self.viewed for file in files)

    @cached_property
    def sizes(self) -> dict[str, int] | None:
        """The size of each name in the folder of blobs; None unless all are regular files themselves.

        Raises:
            OSError: The folder doesn't exist, or can't be read.
        """
        entries = self.listing.entries(self.folders.blobs)
        if any(map(_IS_LINK, entries)) or not all(map(_IS_FILE, entries)):
            return None
        return dict(zip(map(_NAME, entries), map(_SIZE, map(_STATUS, entries)), strict=True))

    @cached_property
    def blob_entries(self) -> dict[str, os.DirEntry[str]]:
        """All that is in the folder of blobs, by name; where `blobs` is a link, what lies behind it."""
        with contextlib.suppress(FileNotFoundError):
            return {entry.name: entry for entry in self.listing.entries(self.folders.blobs)}
        return {}

    @cached_property
    def plain_blobs(self) -> dict[str, os.DirEntry[str]]:
        """The blobs that are regular files themselves, by name."""
        return {name: entry for name, entry in self.blob_entries.items() if entry.is_file(follow_symlinks=False)}

    @property
    def arriving(self) -> set[str]:
        """The digests with a partial download, dead or in progress."""
        with contextlib.suppress(OSError):
            return {match[1] for name in self.blob_entries if "." in name and (match := _PART.fullmatch(name))}
        return set()

    @cached_property
    def commits(self) -> list[CommitHash]:
        """The commits that have a snapshot folder."""
        return scan.snapshots(self.repo, self.listing)

    def has_snapshot(self, commit_hash: CommitHash) -> bool:
        """Return whether a commit has a snapshot folder, or a link to one."""
        path = f"{self.folders.snapshots}/{commit_hash}"
        return self.listing.folder(path) is not None or is_folder(Path(path))

    @cached_property
    def listed_commits(self) -> list[CommitHash]:
        """The commits with a list of files, readable or not."""
        names = [entry.name.removesuffix(".json") for entry in self.lists if entry.name.endswith(".json")]
        return [CommitHash(name) for name in names if COMMIT_HASH.fullmatch(name)]

    @property
    def lists(self) -> Iterator[os.DirEntry[str]]:
        """The files in the folder of lists, each a list of a commit's files as a rule."""
        if self.listing.lacks(self.repo.folder, "trees"):
            return iter(())
        found = self.listing.walk(self.folders.trees)
        return (entry for entry in found if not entry.is_dir(follow_symlinks=False))

    @cached_property
    def ref_texts(self) -> dict[RefName, str]:
        """What the refs say, a commit or not; see `scan.ref_texts`."""
        return scan.ref_texts(self.repo, self.listing)

    @cached_property
    def refs(self) -> dict[RefName, CommitHash]:
        """The refs that name a commit, revision to commit."""
        return {name: CommitHash(text) for name, text in self.ref_texts.items() if COMMIT_HASH.fullmatch(text)}

    @cached_property
    def linked(self) -> set[Digest]:
        """The blobs that any snapshot links to."""
        return {file.digest for commit in self.commits for file in self.snapshot(commit).files if file.digest}

    @cached_property
    def _blob_folder(self) -> str:
        return os.path.normpath(self.repo.blobs)

    def listed(self, commit_hash: CommitHash) -> tuple[FileEntry, ...]:
        """Return the files in a commit's list; see `trees.read`."""
        if commit_hash not in self._lists:
            self._lists[commit_hash] = trees.read(self.repo, commit_hash)
        return self._lists[commit_hash]

    def snapshot(self, commit_hash: CommitHash) -> Snapshot:
        """Return the content of a snapshot's folder with sub-folders; no link is followed."""
        if commit_hash not in self._snapshots:
            files: list[SnapshotFile] = []
            faults: list[str] = []
            self._walk(f"{self.folders.snapshots}/{commit_hash}", "", files, faults)
            self._snapshots[commit_hash] = Snapshot(tuple(files), tuple(faults))
        return self._snapshots[commit_hash]

    def _walk(self, folder: str, prefix: str, files: list[SnapshotFile], faults: list[str]) -> None:
        try:
            found = self.listing.entries(folder)
        except FileNotFoundError:
            return
        except OSError as err:
            faults.append(f"{folder} cannot be read ({err.strerror}).")
            return
        to_blobs = f"{'../' * (2 + prefix.count('/'))}blobs"
        for entry in found:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                self._walk(entry.path, f"{name}/", files, faults)
            else:
                files.append(self._file(folder, name, entry, to_blobs))

    def _file(self, folder: str, name: str, entry: os.DirEntry[str], to_blobs: str) -> SnapshotFile:
        if not entry.is_symlink():
            return SnapshotFile(name, entry.path, None, None)
        text = ""
        with contextlib.suppress(OSError):
            text = os.readlink(entry.path)  # noqa: PTH115 - a Path for each link doubles the walk
        above, _, digest = text.rpartition("/")
        if above == to_blobs and is_digest(digest):  # as huggingface_hub and we write it
            return SnapshotFile(name, entry.path, text, Digest(digest))
        return SnapshotFile(name, entry.path, text, self._blob_behind(folder, text))

    def _blob_behind(self, folder: str, text: str) -> Digest | None:
        """Return the blob that a link in a folder leads to; as `scan.blob_of`, on strings."""
        above, _, digest = os.path.normpath(os.path.join(folder, text)).rpartition("/")  # noqa: PTH118 - as above
        if not text or not is_digest(digest):
            return None
        is_ours = above == self._blob_folder or scan.is_same(Path(above), self.repo.blobs)
        return Digest(digest) if is_ours else None
