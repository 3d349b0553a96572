"""What lies in one base, by names and sizes; nothing is read, nothing is changed, nothing stops at a fault."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import COMMIT_HASH, is_digest, parse_repo_folder
from modelshelf.store import fs
from modelshelf.store.layout import Base, Repo

_PART = re.compile(r"(.+?)\.(?:[0-9a-f]{8}\.)?(?:incomplete|downloadInProgress)")


def blob_sizes(repo: Repo) -> dict[str, int]:
    """Return the blobs of a repository, digest to size in bytes; a link into the shared store is followed.

    A link that leads nowhere has no size and is left out.
    """
    sizes: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(repo.blobs) as entries:
        for entry in entries:
            if is_digest(entry.name):
                with contextlib.suppress(OSError):
                    found = entry.stat()
                    if stat.S_ISREG(found.st_mode):
                        sizes[entry.name] = found.st_size
    return sizes


def arriving(repo: Repo) -> set[str]:
    """Return the digests of which a download has left a part, or writes one."""
    with contextlib.suppress(OSError):
        return {match[1] for name in os.listdir(repo.blobs) if (match := _PART.fullmatch(name))}  # noqa: PTH208
    return set()


def missing_files(repo: Repo, commit_hash: str, files: Iterable[FileEntry]) -> list[FileEntry]:
    """Return the files of a commit whose snapshot path does not lead to a file of their size."""
    snapshot = str(repo.snapshot(commit_hash))
    missing = []
    for file in files:
        try:
            found = os.stat(f"{snapshot}/{file.path}")  # noqa: PTH116 - a Path per file costs three times the call
            there = stat.S_ISREG(found.st_mode) and found.st_size == file.size_bytes
        except OSError:
            there = False
        if not there:
            missing.append(file)
    return missing


def signature(repo: Repo, commit_hash: str) -> str:
    """Return a token that changes when a name in the snapshot's folder or among the blobs comes or goes.

    It lets a listing trust an earlier full look; empty when the folders are not there.
    """
    try:
        times = [path.stat().st_mtime_ns for path in (repo.snapshot(commit_hash), repo.blobs)]
    except OSError:
        return ""
    return ":".join(map(str, times))


def repos(base: Base) -> list[tuple[str, str, Repo]]:
    """Return every repository folder of a base as (type, id, folder), by name."""
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(base.hub) as entries:
        for entry in entries:
            parsed = parse_repo_folder(entry.name)
            if parsed is not None and entry.is_dir(follow_symlinks=False):
                found.append((*parsed, Repo(Path(entry.path))))
    return sorted(found, key=lambda item: item[:2])


def snapshots(repo: Repo) -> list[str]:
    """Return the commits that have a snapshot folder."""
    with contextlib.suppress(FileNotFoundError), os.scandir(repo.snapshots) as entries:
        return sorted(entry.name for entry in entries if COMMIT_HASH.fullmatch(entry.name))
    return []


def snapshot_files(repo: Repo, commit_hash: str) -> Iterator[tuple[str, Path]]:
    """Yield every file of a snapshot as (path in the repository, path on disk), sub-folders included."""
    root = repo.snapshot(commit_hash)
    for path in walk_files(root):
        yield path.relative_to(root).as_posix(), path


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every file and link below a folder; no link is followed, what cannot be read is left out."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from walk_files(Path(entry.path))
        else:
            yield Path(entry.path)


def refs(repo: Repo) -> dict[str, str]:
    """Return the refs of a repository, revision to commit; a trailing newline of other tools is forgiven.

    What a killed write of ours left beside one is none: a move would bring it along and write it anew.
    """
    found: dict[str, str] = {}
    for path in walk_files(repo.refs):
        if path.name.endswith(fs.TEMPORARY):
            continue
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found[path.relative_to(repo.refs).as_posix()] = path.read_text(encoding="ascii").strip()
    return found


def blob_of(repo: Repo, link: Path) -> str | None:
    """Return the digest of the blob that a snapshot link points to; None when it is no link into `blobs`."""
    try:
        target = Path(os.path.normpath(link.parent / link.readlink()))
    except OSError:
        return None
    is_ours = target.parent == Path(os.path.normpath(repo.blobs)) or is_same(target.parent, repo.blobs)
    return target.name if is_ours else None


def file_paths(repo: Repo, commit_hash: str, files: Iterable[FileEntry]) -> Iterator[Path]:
    """Yield every path under which programs open files of a commit: in the snapshot, and the blobs."""
    for file in files:
        yield repo.snapshot(commit_hash) / file.path
        yield repo.blob(file.digest)


def is_same(path: Path, other: Path) -> bool:
    """Return whether two paths lead to one file or folder; False when either is gone."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def may_read(path: Path) -> bool:
    """Return whether this user may read a file, or list and enter a folder; False where it cannot be looked at."""
    effective = os.access in os.supports_effective_ids
    try:
        mode = os.R_OK | (os.X_OK if path.is_dir() else 0)
    except OSError:
        return False
    return os.access(path, mode, effective_ids=effective)


def stamp(path: Path) -> str:
    """Return what tells that a file was not written since: its size and mtime; empty when it is gone."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return ""


def stamp_of(found: os.stat_result) -> str:
    """Return the stamp of a file whose metadata was read already."""
    return f"{found.st_size}:{found.st_mtime_ns}"


def linked_digests(repo: Repo) -> set[str]:
    """Return the digests of the blobs that any snapshot links to."""
    links = (path for commit_hash in snapshots(repo) for _, path in snapshot_files(repo, commit_hash))
    return {digest for path in links if (digest := blob_of(repo, path))}
