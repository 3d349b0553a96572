"""Looking a base over by names, owners and sizes, for the doctor. Nothing is read, nothing is changed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.names import parse_repo_folder
from modelshelf.store import fs, scan
from modelshelf.store.layout import Base


def tree_bytes(folder: Path) -> int:
    """Return the apparent bytes of the files below a folder, each name counted; 0 where it is not there."""
    total = 0
    for path in scan.walk_files(folder):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total


def strays(base: Base) -> list[Path]:
    """Return the folders of repositories that lie beside `hub`, and a `hub` in `hub`, by name.

    `cache_dir=BASE` makes the former, HF_HOME=BASE/hub the latter.
    """
    found = []
    try:
        with os.scandir(base.path) as entries:
            found = [Path(e.path) for e in entries if parse_repo_folder(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    nested = base.nested_hub
    return sorted(found) + ([nested] if nested.is_dir() and not nested.is_symlink() else [])


@dataclass(slots=True)
class Owned:
    """Files that belong to one user."""

    uid: int
    example: str
    files: int = 0
    size_bytes: int = 0


def owners(base: Base) -> dict[int, Owned]:
    """Return to whom the files and folders below `hub` and of ours belong, by user."""
    found: dict[int, Owned] = {}
    for path, status in _walk(base.hub, base.own):
        owned = found.setdefault(status.st_uid, Owned(status.st_uid, path))
        owned.files += 1
        owned.size_bytes += 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return found


def _walk(*folders: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything below folders that can be seen, folders too; no link is followed."""
    todo = [str(folder) for folder in folders]
    while todo:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                yield entry.path, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)


def closed_trees(base: Base) -> list[Path]:
    """Return the lists of files that others may not read though they may read the folder, and that are ours to open.

    huggingface_hub makes them for their owner alone.
    """
    found = []
    for _, _, repo in scan.repos(base):
        for path in scan.walk_files(repo.trees):
            with contextlib.suppress(OSError):
                status, folder = path.lstat(), path.parent.stat()
                wanted = folder.st_mode & 0o044
                is_list = path.suffix == ".json" and stat.S_ISREG(status.st_mode)
                if is_list and status.st_uid == os.geteuid() and status.st_mode & wanted != wanted:
                    found.append(path)
    return found


def closed_folder(base: Base) -> Path | None:
    """Return the first folder of a base that is there and that this process may not look into; None without one."""
    folders = (folder for folder in (base.path, base.own, base.hub) if os.access(folder, os.F_OK))
    return next((folder for folder in folders if not os.access(folder, os.R_OK | os.X_OK)), None)


def open_trees(base: Base) -> list[Path]:
    """Let others read the lists of files that `closed_trees` finds; returns those that can be read now."""
    closed = closed_trees(base)
    for path in closed:
        fs.share_as_folder(path)
    left = set(closed_trees(base))
    return [path for path in closed if path not in left]


def mode_of(path: Path) -> int | None:
    """Return the permission bits of a file; None without one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return stat.S_IMODE(status.st_mode) if stat.S_ISREG(status.st_mode) else None


def owner_of(base: Base) -> tuple[int, int]:
    """Return the user and the group that a base's files should belong to: this process's, or for root the base's."""
    status, uid = base.path.stat(), os.geteuid()
    return (uid, os.getegid()) if uid else (status.st_uid, status.st_gid)


def disk_bytes(base: Base) -> int:
    """Return how large the file system of a base is."""
    found = os.statvfs(base.path)
    return found.f_blocks * found.f_frsize
