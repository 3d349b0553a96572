"""Where the folder of a view is, if nobody says."""

from __future__ import annotations

import os

from modelshelf.domain.names import ViewRoot
from modelshelf.domain.views import USUAL_ROOTS, ViewKind
from modelshelf.errors import BadInput


def view_root(kind: ViewKind, folder: str | None) -> ViewRoot:
    """Return the folder of a view, whole; by default where its program looks.

    Raises:
        BadInput: No folder is given, and the program has none of its own.
    """
    if not folder and kind not in USUAL_ROOTS:
        raise BadInput(f"A view of kind {kind} needs a folder.", hint=f"shelf view add {kind} ~/FOLDER --all")
    return ViewRoot(os.path.abspath(os.path.expanduser(folder or USUAL_ROOTS[kind])))  # noqa: PTH100, PTH111 - links stay
