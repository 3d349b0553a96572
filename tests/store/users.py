"""Acting as another user, for real."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

USER = 4711
"""A uid and gid that own nothing."""


@contextlib.contextmanager
def acting_as(uid: int = USER) -> Iterator[None]:
    """Act as another user with a group of the same number inside the context; skip the test where that isn't possible.

    Import nothing inside the context: that user may not be able to read it.
    """
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(uid, uid, 0)
    os.setresuid(uid, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)
