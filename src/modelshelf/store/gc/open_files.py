"""Which processes of this machine have files of a folder open or mapped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

_PROC = Path("/proc")


def users_of(paths: Iterable[Path | str]) -> list[str]:
    """Return the processes that have one of the files open or mapped, as `python (pid 4711)`.

    Files are compared by device and inode, so that a container with another path for them is seen as well.
    Only root sees other users' processes; leases cover them.

    Source: proc(5), `/proc/PID/fd` and `/proc/PID/maps`.
    """
    return users_of_any(identities(paths))


def users_of_any(wanted: Set[tuple[int, int]]) -> list[str]:
    """Return the processes that have a file open or mapped whose device and inode are among these; see `users_of`."""
    if not wanted:
        return []
    pids = [entry.name for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [f"{_command(pid)} (pid {pid})" for pid in pids if any(file in wanted for file in _files(pid))]


def identities(paths: Iterable[Path | str]) -> set[tuple[int, int]]:
    """Return device and inode of the existing files."""
    found: set[tuple[int, int]] = set()
    for path in paths:
        with contextlib.suppress(OSError):
            there = os.stat(path)  # noqa: PTH116 - one of many
            found.add((there.st_dev, there.st_ino))
    return found


def opened() -> set[tuple[int, int]]:
    """Return device and inode of every file that any process has open or mapped, this one included.

    With the limits of `users_of`.
    """
    return {file for entry in _PROC.iterdir() if entry.name.isdigit() for file in _files(entry.name)}


def mapped() -> set[tuple[int, int]]:
    """Return device and inode of every file that any process has mapped: what works with a file, not what copies it.

    With the limits of `users_of`.
    """
    return {file for entry in _PROC.iterdir() if entry.name.isdigit() for file in _mapped_files(entry.name)}


def written() -> set[tuple[int, int]]:
    """Return device and inode of every file that any process has open for writing, or mapped so."""
    return {file for entry in _PROC.iterdir() if entry.name.isdigit() for file in _written_files(entry.name)}


def _written_files(pid: str) -> Iterator[tuple[int, int]]:
    """Yield the files that a process may write to.

    Source: proc(5), `/proc/PID/fdinfo` (octal `flags`, of which the lowest two bits are the access mode) and
    `/proc/PID/maps` (`rw-s` is a shared mapping that is written through).
    """
    with contextlib.suppress(OSError), os.scandir(_PROC / pid / "fdinfo") as entries:
        for entry in entries:
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(entry.path).read_text(encoding="ascii", errors="replace").splitlines()
                flags = int(next(line for line in lines if line.startswith("flags:")).split()[1], 8)
                if flags & os.O_ACCMODE:
                    found = (_PROC / pid / "fd" / entry.name).stat()
                    yield found.st_dev, found.st_ino
    with contextlib.suppress(OSError):
        for line in (_PROC / pid / "maps").read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(OSError, IndexError):
                fields = line.split(maxsplit=5)
                if "w" in fields[1] and "s" in fields[1]:
                    found = os.stat(fields[5])  # noqa: PTH116 - one line of many
                    yield found.st_dev, found.st_ino


def _files(pid: str) -> Iterator[tuple[int, int]]:
    """Yield device and inode of a process's open or mapped files; nothing if it is gone or another user's."""
    with contextlib.suppress(OSError), os.scandir(_PROC / pid / "fd") as entries:
        for entry in entries:
            yield from _at(entry.path)
    yield from _mapped_files(pid)


def _mapped_files(pid: str) -> Iterator[tuple[int, int]]:
    """Yield device and inode of the files that a process has in its memory, by the paths that it sees as well.

    A file is mapped in several pieces, of which one is looked at.

    Source: proc(5), `/proc/PID/map_files`, which only root may follow.
    """
    with contextlib.suppress(OSError):
        lines = (_PROC / pid / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
        fields = [found for line in lines if len(found := line.split(maxsplit=5)) == 6 and found[5][0] == "/"]
        for (_, _, path), addresses in {tuple(found[3:]): found[0] for found in fields}.items():
            piece = "-".join(address.lstrip("0") for address in addresses.split("-"))
            yield from _at(f"{_PROC}/{pid}/map_files/{piece}")
            yield from _at(path)


def _at(path: str) -> Iterator[tuple[int, int]]:
    with contextlib.suppress(OSError):
        found = os.stat(path)  # noqa: PTH116 - one of many
        yield found.st_dev, found.st_ino


def _command(pid: str) -> str:
    try:
        return (_PROC / pid / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"
