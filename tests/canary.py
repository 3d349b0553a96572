"""Files outside that must not change: their bytes, modes, owners, links and times."""

from __future__ import annotations

import os
import stat
from pathlib import Path

Picture = dict[str, tuple[int, int, int, int, int, bytes]]


def picture(folder: Path) -> Picture:
    """Return everything that a change of a folder, or below it, would show."""
    return {str(path): _facts(path) for path in (folder, *sorted(folder.rglob("*")))}


def _facts(path: Path) -> tuple[int, int, int, int, int, bytes]:
    found = path.lstat()
    held = b""
    if stat.S_ISREG(found.st_mode):
        held = path.read_bytes()
    elif stat.S_ISLNK(found.st_mode):
        held = os.fsencode(path.readlink())
    return found.st_mode, found.st_uid, found.st_gid, found.st_nlink, found.st_mtime_ns, held
