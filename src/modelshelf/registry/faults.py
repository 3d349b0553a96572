"""The databases' errors as our own."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
from pathlib import Path

from modelshelf.errors import Denied, OutOfSpace, ShelfError, Unavailable

REBUILD = "shelf doctor says how to set it aside and rebuild it from the disks."
_LAST_BYTES = 64 * 2**10
"""A disk with fewer bytes is full: the log of a transaction no longer fits."""


def of_sqlite(err: sqlite3.Error, path: Path) -> ShelfError | None:
    """Return our own error for an error of SQLite at `path`; None if it is a bug in modelshelf.

    Args:
        err: The error.
        path: The registry's file.
    """
    name = getattr(err, "sqlite_errorname", "")
    if name == "SQLITE_FULL" or (name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")) and _is_full(path)):
        return OutOfSpace(
            f"The disk of the registry is full: nothing more can be written to {path}.",
            hint="Free some space on it, then run the same command again: what arrived is kept.",
            path=str(path),
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or str(err).startswith(("no such table", "no such column")):
        return Unavailable(
            f"The registry cannot be opened: {path} is damaged, or isn't a registry ({err}).",
            hint=f"Check DATABASE_URL; {REBUILD}",
            damaged=True,
        )
    if name.startswith("SQLITE_READONLY") or name == "SQLITE_PERM":
        return _gone(path) if name.endswith("_DBMOVED") else _denied(path)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable(
            "The registry is busy: another process has held its lock for half a minute.", hint="Try again."
        )
    if name.startswith("SQLITE_IOERR") and _is_gone(path):
        return _gone(path)
    return _unopened(path, err) if name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")) else None


def of_server(reason: str) -> Unavailable:
    """Return the error for a registry's server that doesn't answer, or cut the connection."""
    return Unavailable(
        f"The database server of the registry isn't reachable: {reason}.",
        hint="Start it, or check DATABASE_URL; then run the same command again.",
        registry_away=True,
    )


def _denied(path: Path) -> Denied:
    owner, read_only = "", False
    with contextlib.suppress(OSError):
        read_only = bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
        owner = _name(path.stat().st_uid)
    if read_only:
        hint = "Mount it writable. Until then its models can be listed, loaded and run."
        return Denied(f"The registry cannot be changed: {path} is on a read-only disk.", hint=hint, path=str(path))
    return Denied(
        f"{_name(os.geteuid())} can't change the registry: {path} belongs to {owner or 'another user'}.",
        hint="Run this as that user, or share the base through a group: docs/guides/team.md",
        path=str(path),
        owner=owner,
    )


def _gone(path: Path) -> Unavailable:
    return Unavailable(
        f"The registry {path} was deleted, moved or replaced while this process used it.",
        hint="Put it back, then start this process anew. If it is lost: shelf doctor --fix builds one from the disks.",
        path=str(path),
    )


def _unopened(path: Path, err: sqlite3.Error) -> ShelfError:
    if _is_closed(path):
        return _denied(path)
    return Unavailable(
        f"The registry cannot be opened: {path}: {err}.",
        hint=f"Check DATABASE_URL and the disk; {REBUILD}",
        path=str(path),
    )


def _is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        disk = os.statvfs(path.parent)
        return disk.f_bavail * disk.f_frsize < _LAST_BYTES or (disk.f_files > 0 and disk.f_favail == 0)
    return False


def _is_gone(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _is_closed(path: Path) -> bool:
    """Return whether this user can't read or write the file, or can't create the second file that SQLite needs."""
    wanted = ((path, os.R_OK | os.W_OK), (path.parent, os.W_OK | os.X_OK))
    return any(os.path.lexists(place) and not os.access(place, mode) for place, mode in wanted)


def _name(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"user {uid}"
