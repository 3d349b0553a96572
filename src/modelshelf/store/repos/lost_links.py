"""Snapshots that lost their links while the blobs are here, as after a copy without links, zip, or git without them.

Which file a blob was is said by the repository's own list (`trees/<commit>.json`), by a link that leads nowhere any
more, or by a text file that was a link. Nothing is changed here, and nothing but links is ever replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain import file_kinds
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import COMMIT_HASH, CommitHash, Digest, FilePath
from modelshelf.errors import BadInput
from modelshelf.store.layout import Repo
from modelshelf.store.probe import is_link
from modelshelf.store.repos import judge, scan, trees


@dataclass(frozen=True, slots=True)
class LostLinks:
    """The files of one commit whose blobs are here and that have no link."""

    commit_hash: CommitHash
    files: tuple[FileEntry, ...]


def find(repo: Repo) -> list[LostLinks]:
    """Return what can be linked anew in a repository, by names and sizes alone; nothing where it may not be read."""
    found = []
    try:
        blobs = scan.blob_sizes(repo)
        loose = blobs.keys() - (scan.linked_digests(repo) if blobs else set())
        commits = sorted({*scan.snapshots(repo), *_listed(repo)}) if blobs else []
    except PermissionError:
        return []
    for commit_hash in commits:
        files = _of_commit(repo, commit_hash, blobs, loose)
        if files:
            found.append(LostLinks(commit_hash, tuple(files[name] for name in sorted(files))))
    return found


def among(repo: Repo, loose: Set[str], links: Set[str], blobs: str) -> Set[str]:
    """Return which blobs without a link may have lost just that; they are no garbage.

    Those are what a list or the text of a link names, and all of them where no link leads to any blob, where a list
    can't be read, or where an index names a file that isn't there.

    Args:
        repo: The repository.
        loose: Its blobs that no link leads to, by digest.
        links: Where the links of its snapshots lead.
        blobs: The real path of the folder of its blobs.
    """
    if not loose or not any(link.rpartition("/")[0] == blobs for link in links):
        return loose
    named = {link.rpartition("/")[2] for link in links}
    try:
        commits = scan.snapshots(repo)
    except PermissionError:
        return loose
    for commit_hash in _listed(repo):
        listed = trees.read(repo, commit_hash)
        if not listed:
            return loose
        named |= {file.digest for file in listed}
    for commit_hash in commits:
        names: set[str] = set()
        for name, path in scan.snapshot_files(repo, commit_hash):
            names.add(name)
            named.add(judge.link_text(path) or "")
        if file_kinds.missing_shard(names, judge.says(repo.snapshot(commit_hash), names).indexes):
            return loose
    return loose & named


def _listed(repo: Repo) -> list[CommitHash]:
    """Return the commits of which a list of files is there, whether or not it can be read."""
    names = [path.name.removesuffix(".json") for path in scan.walk_files(repo.trees) if path.suffix == ".json"]
    return [CommitHash(name) for name in names if COMMIT_HASH.fullmatch(name)]


def _of_commit(
    repo: Repo, commit_hash: CommitHash, blobs: Mapping[Digest, int], loose: Set[Digest]
) -> dict[FilePath, FileEntry]:
    """Return the files of a commit that can be linked anew, by path.

    Where a link was lost whose blob nothing else leads to, all files of the list are taken whose blobs are here.
    """
    found = {
        path: FileEntry(path, blobs[digest], digest) for path, digest in _broken(repo, commit_hash) if digest in blobs
    }
    listed = trees.read(repo, commit_hash)
    if found or any(file.digest in loose for file in listed):
        missing = scan.missing_files(repo, commit_hash, listed)
        here = [file for file in missing if blobs.get(file.digest) == file.size_bytes]
        found |= {file.path: file for file in here if _is_free(repo.snapshot(commit_hash) / file.path)}
    return found


def _broken(repo: Repo, commit_hash: CommitHash) -> Iterator[tuple[FilePath, Digest]]:
    """Yield the files of a snapshot that are no link into `blobs` any more, and the digest that each one names."""
    for name, path in scan.snapshot_files(repo, commit_hash):
        digest = _target(path) if is_link(path) else judge.link_text(path)
        if digest and not (is_link(path) and scan.blob_of(repo, path) == digest):
            with contextlib.suppress(BadInput):
                yield FilePath(name), digest


def _target(link: Path) -> Digest | None:
    try:
        return file_kinds.digest_in(str(link.readlink()))
    except OSError:
        return None


def _is_free(path: Path) -> bool:
    """Return whether a link may be made here: nothing has this name, or a link that leads nowhere."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
