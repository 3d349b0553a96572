"""Who else may use what is written in a folder: the folder says so, whatever the umask of who writes."""

from __future__ import annotations

import stat


def is_shared(folder_mode: int) -> bool:
    """Return whether a folder is a group's: setgid, and the group may write in it."""
    return bool(folder_mode & stat.S_ISGID and folder_mode & stat.S_IWGRP)


def mode_in(mode: int, folder_mode: int) -> int:
    """Return the mode of a file or folder that lies in a folder of `folder_mode`.

    Who may look into the folder may read it. In a folder of a group the group may also write it, unless its owner may
    not either: a blob that is read-only stays so. Nothing is taken away.

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
