"""Which of another program's files a link may take the place of, and the change itself."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

from modelshelf.store import fs
from modelshelf.store.gc import open_files
from modelshelf.store.probe import is_real_file
from modelshelf.store.repos import scan


def why_kept(path: Path, owners: Set[int], written: Set[tuple[int, int]]) -> str:
    """Return why a program's file has to stay what it is, as the end of a sentence after its name; empty if not.

    Args:
        path: The file.
        owners: The ids of the users whose files may be replaced.
        written: What `open_files.written` returned.
    """
    try:
        found = path.lstat()
    except OSError:
        return "can't be examined by this user"
    if not is_real_file(path):
        return "isn't a plain file"
    if found.st_uid not in owners:
        return f"belongs to another user (uid {found.st_uid})"
    if (found.st_dev, found.st_ino) in written:
        return "is open for writing"
    return "" if os.access(path.parent, os.W_OK | os.X_OK) else "is in a folder that this user can't write"


def put_link(root: Path, path: Path, target: str, stamp: str) -> str:
    """Let a link take the place of a file that was read before; return why not, or an empty text.

    **Crash:** see `fs.put_link`.

    Args:
        root: The program's folder.
        path: The file.
        target: Where the link leads.
        stamp: The file's stamp from before it was read.
    """

    def is_as_it_was(kept: Path) -> bool:
        found = kept.stat()
        return scan.stamp_of(found) == stamp and (found.st_dev, found.st_ino) not in open_files.written()

    return "" if fs.put_link(root, path, target, is_as_it_was) else "was changed meanwhile"
