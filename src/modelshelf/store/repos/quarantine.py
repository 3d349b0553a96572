"""Damaged bytes out of the way, and good ones into their place. The caller holds the blob's locks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest
from modelshelf.domain.ports import Progress
from modelshelf.errors import Conflict, Denied, Unavailable
from modelshelf.store import fs
from modelshelf.store.blobs import copy, link_or_clone, shared_store
from modelshelf.store.blobs.partial import file_agrees
from modelshelf.store.layout import Base, Repo
from modelshelf.store.probe import is_link
from modelshelf.store.repos import scan, snapshot


def is_damaged(path: Path, digest: Digest) -> bool:
    """Return whether a file is there and its bytes are not what its digest promises; reads all of it.

    What may not be read is not said to be damaged; what the disk cannot read is.
    """
    try:
        return not file_agrees(path, digest)
    except (Unavailable, Denied, NotADirectoryError):
        return False
    except OSError:
        return True


def set_aside(base: Base, path: Path, digest: Digest) -> Path | None:
    """Move damaged bytes into quarantine; returns where they lie now, None when nothing damaged is there any more.

    A payload of the shared store is moved itself, and every link to it leads nowhere then. A link that leads into
    another repository is taken away: the bytes behind it are that repository's.

    Raises:
        Conflict: The shared store has a layout that is not known here.
        Denied: It may not be moved.
    """
    payload = shared_store.payload_of(base, path)
    if payload is not None:
        why = shared_store.why_unknown(base)
        if why:
            raise Conflict(why)
        with shared_store.payload_lock(payload):
            return fs.set_aside(base.path, payload, base.quarantine) if is_damaged(payload, digest) else None
    if not is_damaged(path, digest):
        return None
    if is_link(path):
        fs.remove_file(base.path, path)
        return None
    return fs.set_aside(base.path, path, base.quarantine)


def source_of(
    base: Base, repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry], digest: Digest
) -> Path | None:
    """Return the file of this repository that holds a digest's bytes, by name and size alone: its blob, else a real
    file of the snapshot."""
    root = base.hub.resolve()
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
    real = snapshot.real_file(path, base.hub.resolve())
    if real is None or real.stat().st_size != file.size_bytes:
        return False
    return not is_link(path) or scan.blob_of(repo, path) == file.digest


def place(
    base: Base, repo: Repo, source: Path, files: Sequence[FileEntry], commit_hash: CommitHash, progress: Progress
) -> None:
    """Put the bytes of one digest into a snapshot itself, as where there are no symbolic links.

    **Crash:** the blob is there, or the file is; the next call goes on from either.

    Args:
        base: The base.
        repo: The repository's folder.
        source: The file that holds the bytes: a blob, which becomes the last of the files where no link needs it.
        files: The files of the snapshot that have this content.
        commit_hash: The commit.
        progress: Who wants to know.
    """
    paths = [repo.snapshot(commit_hash) / file.path for file in files]
    digest, size_bytes = files[0].digest, files[0].size_bytes
    is_spare = source == repo.blob(digest) and digest not in scan.linked_digests(repo)
    for path in paths[:-1] if is_spare else paths:
        if not link_or_clone.share(base.path, source, path):
            copy.copy_blob(source, base, digest, size_bytes, path, progress, lambda count: None)
    if is_spare:
        fs.publish(base.path, source, paths[-1])
