"""Where on the disk the bytes of a file lie: whether two files share theirs already."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

_FIEMAP = 0xC020660B
_HEADER = struct.Struct("=QQLLLL")
_EXTENT = struct.Struct("=QQQQQLLLL")
_COUNT = 128
_SYNC = 0x1
"""What was written to the file is brought to the disk first, for until then it has no place there."""
_LAST, _UNKNOWN, _DELAYED, _INLINE, _UNWRITTEN = 0x1, 0x2, 0x4, 0x200, 0x800


def same(one: Path, other: Path) -> bool:
    """Return whether two files have the same extents; False as well where the file system does not say.

    Source: Linux `Documentation/filesystems/fiemap.rst`.
    """
    try:
        ours, theirs = _extents(one), _extents(other)
    except OSError:
        return False
    return ours is not None and ours == theirs


def _extents(path: Path) -> list[tuple[int, int, int]] | None:
    """Return a file's extents as (logical offset, physical offset, length), neighbours joined; None when unknown."""
    found: list[tuple[int, int, int]] = []
    start = 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while True:
            buffer = bytearray(_HEADER.size + _COUNT * _EXTENT.size)
            _HEADER.pack_into(buffer, 0, start, 2**64 - 1 - start, _SYNC, 0, _COUNT, 0)
            fcntl.ioctl(fd, _FIEMAP, buffer)
            count = _HEADER.unpack_from(buffer)[3]
            for i in range(count):
                logical, physical, length, *_, flags, _, _, _ = _EXTENT.unpack_from(
                    buffer, _HEADER.size + i * _EXTENT.size
                )
                if flags & (_UNKNOWN | _DELAYED | _INLINE):
                    return None
                if not flags & _UNWRITTEN:  # reserved, and read as zeros: a hole in the file that shares the rest
                    _join(found, (logical, physical, length))
                start = logical + length
            if not count or flags & _LAST:
                return found
    finally:
        os.close(fd)


def _join(found: list[tuple[int, int, int]], extent: tuple[int, int, int]) -> None:
    """Append an extent, or lengthen the last one where it goes on."""
    logical, physical, length = extent
    if found:
        before = found[-1]
        if before[0] + before[2] == logical and before[1] + before[2] == physical:
            found[-1] = (before[0], before[1], before[2] + length)
            return
    found.append(extent)
