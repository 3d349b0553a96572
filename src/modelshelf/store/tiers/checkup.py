"""Inspecting a base by names, owners and sizes, for the doctor. Nothing is read, nothing is changed."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from modelshelf.domain.repo_folders import parse_repo_folder
from modelshelf.store import fs
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import scan
from modelshelf.store.tiers.seen import SeenBase


def tree_bytes(folder: Path) -> int:
    """Return the apparent bytes of the files below a folder, each name counted; 0 if it doesn't exist."""
    total = 0
    for path in scan.walk_files(folder):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total


def strays(base: Base) -> list[Path]:
    """Return the repositories' folders beside `hub`, and those in a `hub` in `hub`, by name.

    `cache_dir=BASE` makes the former, HF_HOME=BASE/hub the latter.
    """
    found = []
    for folder in (base.path, base.nested_hub):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            found += sorted(e.path for e in entries if parse_repo_folder(e.name) and e.is_dir(follow_symlinks=False))
    return [Path(path) for path in found]


def is_unfinished(stray: Path) -> bool:
    """Return whether a model's folder has no snapshot, so that only the program that began it can finish it."""
    parsed = parse_repo_folder(stray.name)
    if parsed is None or parsed[0] != "model":
        return False
    try:
        return not scan.snapshots(Repo(str(stray), stray.parent))
    except OSError:
        return False


def closed_trees(base: Base, seen: SeenBase | None = None) -> list[Path]:
    """Return the lists of files that others can't read though they can read the folder, and that are ours to open.

    huggingface_hub makes them readable for their owner alone.

    Args:
        base: The base.
        seen: What was seen of it already.
    """
    seen, found, user = seen or SeenBase(base), [], os.geteuid()
    for _, _, repo in seen.repos:
        for entry in seen.names(repo).lists:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                is_list = entry.name.endswith(".json") and stat.S_ISREG(status.st_mode)
                if is_list and status.st_uid == user and status.st_mode & 0o044 != 0o044:
                    wanted = Path(entry.path).parent.stat().st_mode & 0o044
                    if status.st_mode & wanted != wanted:
                        found.append(Path(entry.path))
    return found


def closed_folder(base: Base) -> Path | None:
    """Return the first existing folder of a base that this process can't read; None if there is none."""
    folders = (folder for folder in (base.path, base.own, base.hub) if os.access(folder, os.F_OK))
    return next((folder for folder in folders if not os.access(folder, os.R_OK | os.X_OK)), None)


def open_trees(base: Base) -> list[Path]:
    """Open the lists of files that `closed_trees` finds; return those that others can read now."""
    closed = closed_trees(base)
    for path in closed:
        fs.take_folder_permissions(base.path, path)
    left = set(closed_trees(base))
    return [path for path in closed if path not in left]


def mode_of(path: Path) -> int | None:
    """Return the permission bits of a file; None without one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return stat.S_IMODE(status.st_mode) if stat.S_ISREG(status.st_mode) else None


def disk_bytes(base: Base) -> int:
    """Return the size of a base's file system."""
    found = os.statvfs(base.path)
    return found.f_blocks * found.f_frsize
