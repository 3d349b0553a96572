"""Snapshots that lost their links while the blobs exist, as after a copy without links, zip, or git without them.

The repository's own list (`trees/<commit>.json`), a dangling link, or a text file that was a link says which file a
blob was. Nothing is changed here, and nothing but links is ever replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain import file_kinds
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest, FilePath
from modelshelf.errors import BadInput
from modelshelf.store.layout import Repo
from modelshelf.store.repos import judge, scan
from modelshelf.store.repos.names import RepoNames, Snapshot


@dataclass(frozen=True, slots=True)
class LostLinks:
    """The files of one commit whose blobs exist and that have no link."""

    commit_hash: CommitHash
    files: tuple[FileEntry, ...]


def find(names: RepoNames) -> list[LostLinks]:
    """Return what can be linked again in a repository, by names and sizes alone; nothing if it can't be read."""
    found = []
    try:
        loose = names.blobs.keys() - (names.linked if names.blobs else set())
        commits = sorted({*names.commits, *names.listed_commits}) if names.blobs else []
    except PermissionError:
        return []
    for commit_hash in commits:
        files = _of_commit(names, commit_hash, loose)
        if files:
            found.append(LostLinks(commit_hash, tuple(files[name] for name in sorted(files))))
    return found


def among(repo: Repo, loose: Set[str], links: Set[str], blobs: str) -> Set[str]:
    """Return which unlinked blobs may only have lost their links; they aren't garbage.

    These are what a list or a link's text names, and all of them if no link leads to any blob, if a list
    can't be read, or if an index names a missing file.

    Args:
        repo: The repository.
        loose: Its unlinked blobs, by digest.
        links: The targets of its snapshots' links.
        blobs: The real path of its folder of blobs.
    """
    if not loose or not any(link.rpartition("/")[0] == blobs for link in links):
        return loose
    named, walk = {link.rpartition("/")[2] for link in links}, RepoNames(repo)
    try:
        commits = walk.commits
    except PermissionError:
        return loose
    for commit_hash in walk.listed_commits:
        listed = walk.listed(commit_hash)
        if not listed:
            return loose
        named |= {file.digest for file in listed}
    for commit_hash in commits:
        names: set[str] = set()
        for file in walk.snapshot(commit_hash).files:
            names.add(file.name)
            named.add(judge.link_text(file.path) or "")
        if file_kinds.missing_shard(names, judge.says(repo.snapshot(commit_hash), names).indexes):
            return loose
    return loose & named


def _of_commit(names: RepoNames, commit_hash: CommitHash, loose: Set[Digest]) -> dict[FilePath, FileEntry]:
    """Return the files of a commit that can be linked again, by path.

    If a lost link's blob has no other link, all files of the list whose blobs exist are taken.
    """
    repo, blobs, listed = names.repo, names.blobs, names.listed(commit_hash)
    broken = _broken(names.snapshot(commit_hash))
    found = {path: FileEntry(path, blobs[digest], digest) for path, digest in broken if digest in blobs}
    if found or any(file.digest in loose for file in listed):
        missing = scan.missing_files(repo, commit_hash, listed)
        here = [file for file in missing if blobs.get(file.digest) == file.size_bytes]
        found |= {file.path: file for file in here if _is_free(repo.snapshot(commit_hash) / file.path)}
    return found


def _broken(snapshot: Snapshot) -> Iterator[tuple[FilePath, Digest]]:
    """Yield the files of a snapshot that are no longer a link into `blobs`, with the digest that each one names."""
    for file in snapshot.files:
        if file.digest is not None:  # it is such a link
            continue
        digest = judge.link_text(file.path) if file.link is None else file_kinds.digest_in(file.link)
        if digest:
            with contextlib.suppress(BadInput):
                yield FilePath(file.name), digest


def _is_free(path: Path) -> bool:
    """Return whether a link may be made here: the name is free or a dangling link."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
