"""Which processes of this machine have files of a folder open or mapped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_PROC = Path("/proc")


def users_of(paths: Iterable[Path]) -> list[str]:
    """Return the processes that have one of the files open or mapped, as `python (pid 4711)`.

    Files are known by device and inode, so that a container that calls them by another path is seen as well.
    Processes of other users are seen by root alone; leases cover them.

    Source: proc(5), `/proc/PID/fd` and `/proc/PID/maps`.
    """
    wanted: set[tuple[int, int]] = set()
    for path in paths:
        with contextlib.suppress(OSError):
            found = path.stat()
            wanted.add((found.st_dev, found.st_ino))
    if not wanted:
        return []
    pids = [entry.name for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [f"{_command(pid)} (pid {pid})" for pid in pids if any(file in wanted for file in _files(pid))]


def _files(pid: str) -> Iterator[tuple[int, int]]:
    """Yield device and inode of what a process has open or mapped; nothing where it is gone or another user's."""
    for folder in ("fd", "map_files"):
        with contextlib.suppress(OSError):
            for entry in os.scandir(_PROC / pid / folder):
                with contextlib.suppress(OSError):
                    found = entry.stat()
                    yield found.st_dev, found.st_ino
    with contextlib.suppress(OSError):
        for line in (_PROC / pid / "maps").read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(OSError, IndexError):
                found = os.stat(line.split(maxsplit=5)[5])  # noqa: PTH116 - one line of many
                yield found.st_dev, found.st_ino


def _command(pid: str) -> str:
    try:
        return (_PROC / pid / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"
