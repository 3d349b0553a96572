"""Whether two paths lead to one folder."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path, PurePosixPath

from modelshelf.errors import ShelfError
from modelshelf.store.locks import bounded

_ANSWER_WITHIN_S = 2.0


def is_same_place(path: str, other: str) -> bool:
    """Return whether two paths lead to one place, whether it exists or not; links are followed.

    Where a mount doesn't answer, their texts tell.
    """
    if PurePosixPath(path) == PurePosixPath(other):
        return True
    try:
        real = {bounded(partial(os.path.realpath, one), Path(one), hang_s=_ANSWER_WITHIN_S) for one in (path, other)}
    except (ShelfError, OSError):
        return False
    return len(real) == 1
