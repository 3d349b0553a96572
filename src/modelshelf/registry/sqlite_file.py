"""Opening the registry's SQLite file, also on a full or read-only disk.

SQLite's log of the running transaction stays beside the file, with its blocks (`journal_mode=PERSIST`), and the file
keeps free pages of its own: a change takes neither a byte nor an inode from the disk, and whoever fills the disk
meanwhile can't take them. Reading needs no second file at all.

Source: https://www.sqlite.org/pragma.html#pragma_journal_mode; decision 14.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from modelshelf.errors import OutOfSpace, ShelfError
from modelshelf.registry.faults import of_sqlite

RESERVE_BYTES = 256 * 2**10
"""What a registry keeps for a full disk, twice: pages in its file, and the log of one transaction.

Forgetting a model of 300 files takes 112 KiB of log; half of the reserve may be used up when the disk fills up.
"""
_LOW = 2
"""The reserve is filled up again when less than this part of it, one half, is left."""
_ROOM_BYTES = 4 * RESERVE_BYTES
"""What must be free on the disk for rows that free nothing."""
_BUSY_S = 30
_PRAGMAS = ("journal_mode=PERSIST", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY")
_ASKING = ("query_only=ON",)
"""For a file that may be another program's: nothing in it is changed."""


def connect(path: Path, *, is_ours: bool = True) -> sqlite3.Connection:
    """Return a connection with manual transactions that waits for others for up to 30 s.

    A file that isn't known to be our registry is only read.

    If the disk is read-only and a killed process left a half-written transaction, the connection reads a copy in
    memory's place, from before that transaction.

    Raises:
        OutOfSpace, Denied, Unavailable: It can't be opened; see `faults.of_sqlite`.
    """
    with translated(path):
        try:
            return _open(path, pragmas=_PRAGMAS if is_ours else _ASKING)
        except sqlite3.OperationalError as err:
            stopped = err.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
            with contextlib.suppress(OSError):
                if stopped:
                    return _open_copy(path)
            raise


def _open(path: Path, how: str = "", pragmas: tuple[str, ...] = _PRAGMAS) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}{how}"
    connection = sqlite3.connect(address, _BUSY_S, isolation_level=None, check_same_thread=False, uri=True)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _open_copy(path: Path) -> sqlite3.Connection:
    """Open a nameless copy of a registry with its log, in which SQLite rolls back what was half written."""
    with tempfile.TemporaryDirectory(prefix="modelshelf-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        for suffix in ("-journal", "-wal"):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        with contextlib.closing(_open(copy)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        return _open(copy, "?mode=ro")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into our own.

    Raises:
        ShelfError: See `faults.of_sqlite`.
    """
    try:
        yield
    except sqlite3.Error as err:
        known = of_sqlite(err, path)
        if known is None:
            raise
        raise known from err


def check_room(path: Path) -> None:
    """Raise if the disk of a registry is nearly full: what is left of the reserve is for what frees space.

    Raises:
        OutOfSpace: It is.
    """
    with contextlib.suppress(OSError):  # a registry that is away says so itself
        disk = os.statvfs(path.parent)
        if disk.f_bavail * disk.f_frsize < _ROOM_BYTES:
            raise OutOfSpace(
                f"The disk of the registry is nearly full: no more requests are noted in {path}.",
                hint="Free some space on it.",
                path=str(path),
            )


def keep_reserve(path: Path) -> None:
    """Fill up a registry's reserve for a full disk; does nothing if it is full, or the disk has no room.

    **Crash:** a table named `reserve` at worst, which the next call deletes.
    """
    with contextlib.suppress(ShelfError, OSError), contextlib.closing(connect(path)) as connection:
        log = Path(f"{path}-journal")
        log_bytes = log.stat().st_size if os.access(log, os.F_OK) else 0
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        free_bytes = connection.execute("PRAGMA freelist_count").fetchone()[0] * page
        if min(free_bytes, log_bytes) * _LOW >= RESERVE_BYTES:
            return
        with translated(path):
            for statement in (
                "DROP TABLE IF EXISTS reserve",
                f"CREATE TABLE reserve AS SELECT randomblob({RESERVE_BYTES}) AS filler",
                f"UPDATE reserve SET filler = randomblob({RESERVE_BYTES})",  # writes as much into the log
                "DROP TABLE IF EXISTS reserve",
            ):
                connection.execute(statement)
