"""The mount table of this process."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from modelshelf.domain.disks import Mount
from modelshelf.errors import BadInput

_log = logging.getLogger(__name__)
TABLE = Path("/proc/self/mountinfo")
_UNKNOWN = Mount("/", "", "", read_only=False, boundary=False)


def mount_of(path: Path, table: str | None = None) -> Mount:
    """Return the mount that a path is on, or would be on if it doesn't exist yet.

    Args:
        path: Any path; links in it are followed.
        table: The text of a mount table; by default this process's. A system without one has no mounts.
    """
    return mount_at(path.resolve(), table)


def read_table(path: Path = TABLE) -> str:
    """Return the mount table; empty on a system without one."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def mount_that_may_hang(path: Path) -> Mount | None:
    """Return a path's mount if its calls may hang in the kernel; None if it is on a local disk.

    The path itself is checked first, because following its links accesses the disks.
    """
    table = read_table()
    named = mount_at(path.absolute(), table)
    mount = named if named.may_hang else mount_of(path, table)
    return mount if mount.may_hang else None


def check_outlives(bases: Sequence[str], *, require: bool | None, table: str | None = None) -> None:
    """Warn of a base in a container's own layer, or refuse it, before anything is written there.

    Args:
        bases: The bases.
        require: Whether to refuse; None: warn; False: neither.
        table: See `mount_of`.

    Raises:
        BadInput: A base is in the container's own layer, and that is refused.
    """
    lost = [base for base in bases if mount_of(Path(base), table).is_container_layer] if require is not False else []
    if not lost:
        return
    detail = f"{' and '.join(lost)}: on the container's own layer: every model is lost with the container."
    hint = f"Mount a folder of the host there: -v /path/on/the/host:{lost[0]}"
    if require:
        raise BadInput(detail, hint=hint, cache_path=lost[0])
    _log.error("%s %s", detail, hint)


def mount_at(path: Path, table: str | None = None) -> Mount:
    """Return the mount that a path is on by its name alone: no link is followed, and no disk is accessed.

    This works while a network mount hangs. `path` is absolute; for `table` see `mount_of`.
    """
    found, below = _UNKNOWN, f"{path}/"
    for mount in mounts(table):
        if len(mount.point) >= len(found.point) and below.startswith(f"{mount.point.rstrip('/')}/"):
            found = mount  # of two mounts on one point, the later hides the earlier
    return found


def mounts(table: str | None = None) -> tuple[Mount, ...]:
    """Return all mounts, in the order of the table.

    Args:
        table: The text of a mount table; by default this process's. A system without one has none.
    """
    return _parse_table(read_table() if table is None else table)


@functools.lru_cache(maxsize=4)
def _parse_table(text: str) -> tuple[Mount, ...]:
    """Read a table; the last ones are kept, because each lock asks, and the table hardly ever changes."""
    return tuple(mount for line in text.splitlines() if (mount := _parse(line)))


def _parse(line: str) -> Mount | None:
    """Read one line. Source: Linux `proc_pid_mountinfo(5)`; a Windows drive under WSL 2 is `9p` with `aname=drvfs`."""
    fields, _, rest = line.partition(" - ")
    left, right = fields.split(" "), rest.split(" ")
    if len(left) < 6 or len(right) < 3:
        return None
    point, kind, source = _plain(left[4]), right[0], _plain(right[1])
    if kind == "9p" and ("aname=drvfs" in right[2] or source == "drvfs"):
        kind = "drvfs"
    options = frozenset([*left[5].split(","), *right[2].split(",")])
    return Mount(point, kind, source, "ro" in options, boundary=point != "/", options=options)


def _plain(text: str) -> str:
    """Return a field without the octal escapes of blanks and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
