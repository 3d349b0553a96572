"""Who else may use what is written in a folder: the folder decides, regardless of the writer's umask."""

from __future__ import annotations

import stat
from dataclasses import dataclass


def is_shared(folder_mode: int) -> bool:
    """Return whether a folder is a group's: setgid, and the group may write in it."""
    return bool(folder_mode & stat.S_ISGID and folder_mode & stat.S_IWGRP)


def mode_in(mode: int, folder_mode: int) -> int:
    """Return the mode for a file or folder in a folder of `folder_mode`.

    Whoever may read the folder may read it. In a group's folder the group may also write it, unless its owner may
    not either: a read-only blob stays read-only. No permission is removed.

    >>> oct(mode_in(0o100600, 0o40755)), oct(mode_in(0o100600, 0o42770)), oct(mode_in(0o100444, 0o42770))
    ('0o644', '0o660', '0o444')
    >>> oct(mode_in(0o40700, 0o42770)), oct(mode_in(0o40755, 0o40700))
    ('0o2770', '0o755')
    """
    is_folder = stat.S_ISDIR(mode)
    more = folder_mode & (0o055 if is_folder else 0o044)
    if is_shared(folder_mode) and (is_folder or mode & stat.S_IWUSR):
        more |= stat.S_ISGID | 0o070 if is_folder else 0o060
    return stat.S_IMODE(mode) | more


@dataclass(frozen=True, slots=True)
class Foreign:
    """Files in a base that aren't its owner's, or in a group's base not the group's."""

    base: str
    files: int
    """How many files and folders."""
    size_bytes: int
    """Of the files."""
    owners: tuple[tuple[int, int], ...]
    """Their owners, user id and group id, the most frequent first."""
    examples: tuple[str, ...]
    """The first few paths."""
    fix: str
    """The command that repairs it for this user, or a sentence if they can't."""
