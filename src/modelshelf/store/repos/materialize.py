"""Laying out a snapshot from existing bytes, as huggingface_hub would, without asking anybody.

Without symbolic links a snapshot holds its bytes itself, and `blobs/` stays empty.

Source: huggingface_hub 2.4 `file_download._create_symlink`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest
from modelshelf.domain.ports import Progress
from modelshelf.store import fs
from modelshelf.store.blobs import copy
from modelshelf.store.layout import Base, Repo
from modelshelf.store.probe import is_link, is_real_file, real_path
from modelshelf.store.repos import scan, snapshot, trees


def lay_out(
    base: Base, repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry], progress: Progress, *, symlinks: bool
) -> None:
    """Lay out these files, whose bytes are in the repository, in a snapshot; the caller holds its lock.

    **Crash:** some of them are there; the next call makes the rest.
    """
    snapshot.tag_cache(base)
    if symlinks:
        _link(repo, commit_hash, files)
    else:
        _settle(base, repo, commit_hash, files, progress)


def list_commit(repo: Repo, commit_hash: CommitHash, manifest: Iterable[FileEntry]) -> None:
    """Write the list of a commit's files unless it already names these, because it may know more of each file."""
    there = {file.path: file for file in trees.read(repo, commit_hash)}
    named = there | {file.path: file for file in manifest}
    if named != there:
        trees.write(repo, commit_hash, named.values())


def _link(repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry]) -> None:
    """Link every file of a snapshot to its blob, durably; a link that is right stays.

    **Crash:** some links are there and some aren't; the next call makes the rest.
    """
    folders: set[Path] = set()
    for file in files:
        path = repo.snapshot(commit_hash) / file.path
        target = os.path.relpath(repo.blob(file.digest), start=path.parent)
        with contextlib.suppress(OSError):
            if is_link(path) and str(path.readlink()) == target:
                continue
        fs.make_link(repo.root, path, target)
        folders.add(path.parent)
    for folder in folders:
        fs.fsync_folder(repo.root, folder)


def _settle(base: Base, repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry], progress: Progress) -> None:
    """Put blobs into their snapshot; a file that is right stays, one of another size is set aside.

    **Crash:** some bytes are blobs and some are files; the next call puts the rest in place.
    """
    groups: dict[Digest, list[FileEntry]] = {}
    for file in files:
        groups.setdefault(file.digest, []).append(file)
    for digest, group in groups.items():
        wrong = [file for file in group if not is_right(base, repo, commit_hash, file)]
        source = source_of(base, repo, commit_hash, group, digest) if wrong else None
        if source is not None:
            for path in (repo.snapshot(commit_hash) / file.path for file in wrong):
                if is_real_file(path):
                    fs.set_aside(base.path, path, base.quarantine)
            _place(base, repo, source, wrong, commit_hash, progress)


def source_of(
    base: Base, repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry], digest: Digest
) -> Path | None:
    """Return the file of this repository that holds a digest's bytes, by name and size alone: its blob, else a real
    file of the snapshot."""
    root = real_path(base.hub)
    same = [file for file in files if file.digest == digest]
    places = [repo.snapshot(commit_hash) / file.path for file in same]
    for path in (repo.blob(digest), *(place for place in places if not is_link(place))):
        real = snapshot.real_file(path, root)
        if real is not None and same and real.stat().st_size == same[0].size_bytes:
            return real
    return None


def is_right(base: Base, repo: Repo, commit_hash: CommitHash, file: FileEntry) -> bool:
    """Return whether a file of a snapshot leads to its own content, by names and sizes alone."""
    path = repo.snapshot(commit_hash) / file.path
    real = snapshot.real_file(path, real_path(base.hub))
    if real is None or real.stat().st_size != file.size_bytes:
        return False
    return not is_link(path) or scan.blob_of(repo, path) == file.digest


def _place(
    base: Base, repo: Repo, source: Path, files: Sequence[FileEntry], commit_hash: CommitHash, progress: Progress
) -> None:
    """Put the bytes of one digest into a snapshot itself, as without symbolic links.

    **Crash:** either the blob or the file is there, and the next call continues from it.

    Args:
        base: The base.
        repo: The repository's folder.
        source: The file with the bytes: a blob, which becomes the last of the files if no link needs it.
        files: The snapshot's files with this content.
        commit_hash: The commit.
        progress: Told how far the work is.
    """
    paths = [repo.snapshot(commit_hash) / file.path for file in files]
    digest, size_bytes = files[0].digest, files[0].size_bytes
    is_spare = source == repo.blob(digest) and digest not in scan.linked_digests(repo)
    for path in paths[:-1] if is_spare else paths:
        copy.bring(source, base, digest, size_bytes, path, progress)
    if is_spare:
        fs.publish(base.path, source, paths[-1])
