"""Which processes of this machine have files of a folder open or mapped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

_PROC = Path("/proc")
_Mapped = tuple[str, str, str, str]
"""The mount namespace of a process, and device, inode and path of a file that it has mapped, as `/proc/PID/maps` does.

Btrfs has an inode of the same number in each of its subvolumes, which may have the same path in two containers.
"""


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
    return [f"{_command(pid)} (pid {pid})" for pid in _pids() if any(file in wanted for file in _files(pid))]


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
    return descriptors() | mapped()


def descriptors() -> set[tuple[int, int]]:
    """Return device and inode of every file that any process has a descriptor of, this one included.

    With the limits of `users_of`.
    """
    return {file for pid in _pids() for file in _described_files(pid)}


def mapped() -> set[tuple[int, int]]:
    """Return device and inode of every file that any process has mapped: what works with a file, not what copies it.

    With the limits of `users_of`.
    """
    known = set[_Mapped]()
    return {file for pid in _pids() for file in _mapped_files(pid, known)}


def written() -> set[tuple[int, int]]:
    """Return device and inode of every file that any process has open for writing, or mapped so."""
    return {file for pid in _pids() for file in _written_files(pid)}


def _pids() -> list[str]:
    return [entry.name for entry in _PROC.iterdir() if entry.name.isdigit()]


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
    yield from _described_files(pid)
    yield from _mapped_files(pid, set())


def _described_files(pid: str) -> Iterator[tuple[int, int]]:
    with contextlib.suppress(OSError), os.scandir(_PROC / pid / "fd") as entries:
        for entry in entries:
            yield from _at(entry.path)


def _mapped_files(pid: str, known: set[_Mapped]) -> Iterator[tuple[int, int]]:
    """Yield device and inode of the files that a process has in its memory, by the paths that it sees as well.

    A file is mapped in several pieces, of which one is looked at.

    Source: proc(5), `/proc/PID/map_files`, which only root may follow.

    Args:
        pid: The process.
        known: The files that other processes have in theirs, which aren't looked at again; those of this one are added.
    """
    with contextlib.suppress(OSError):
        lines = (_PROC / pid / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
        fields = [found for line in lines if len(found := line.split(maxsplit=5)) == 6 and found[5][0] == "/"]
        mounts = os.readlink(f"{_PROC}/{pid}/ns/mnt")  # noqa: PTH115 - one of many
        pieces = {(mounts, device, inode, path): addresses for addresses, _, _, device, inode, path in fields}
        for file in pieces.keys() - known:
            piece = "-".join(address.lstrip("0") for address in pieces[file].split("-"))
            for there in _at(f"{_PROC}/{pid}/map_files/{piece}"):
                known.add(file)
                yield there
            yield from _at(file[3])


def _at(path: str) -> Iterator[tuple[int, int]]:
    with contextlib.suppress(OSError):
        found = os.stat(path)  # noqa: PTH116 - one of many
        yield found.st_dev, found.st_ino


def _command(pid: str) -> str:
    try:
        return (_PROC / pid / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"
