"""Where the folder of a view is if nobody says, and whether it was deleted."""

from __future__ import annotations

import os
from pathlib import Path

from modelshelf.domain.http_roots import DRIVES
from modelshelf.domain.names import ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import USUAL_ROOTS
from modelshelf.errors import BadInput
from modelshelf.store.mounts import mount_of
from modelshelf.store.probe import is_there


def view_root(kind: ViewKind, folder: str | None, verb: str = "add") -> ViewRoot:
    """Return the folder of a view, whole; by default where its program looks.

    Args:
        kind: The view's kind.
        folder: The folder that a person names; None or empty for none.
        verb: The verb of `shelf view` that needs it.

    Raises:
        BadInput: No folder is given, and the program has none of its own.
    """
    if not folder and kind not in USUAL_ROOTS:
        hint = f"shelf view {verb} {kind} ~/FOLDER" + (" --all" if verb == "add" else "; shelf view ls lists them")
        raise BadInput(f"A view of kind {kind} needs a folder.", hint=hint)
    return ViewRoot(os.path.abspath(os.path.expanduser(folder or USUAL_ROOTS[kind])))  # noqa: PTH100, PTH111 - links stay


def was_deleted(root: Path) -> bool:
    """Return whether a folder that isn't there was deleted; False if a drive that isn't mounted may have it.

    Such a drive leaves an empty folder or none, so the folder above has to hold something, on a local disk; where
    drives are mounted, it has to be on one.
    """
    parent = root.parent.resolve()
    mount = mount_of(parent)
    may_be_away = any(parent.is_relative_to(drive) and not mount.point.startswith(f"{drive}/") for drive in DRIVES)
    try:
        return not (may_be_away or mount.may_hang or is_there(root)) and bool(os.listdir(parent))  # noqa: PTH208
    except OSError:
        return False
