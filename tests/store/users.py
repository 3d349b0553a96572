"""Doing something as another user, in truth."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

USER = 4711
"""A user, and its group, to whom nothing belongs."""


@contextlib.contextmanager
def acting_as(uid: int = USER) -> Iterator[None]:
    """Be another user, with a group of the same number, as long as the context lasts; skip the test where one cannot.

    Nothing may be imported meanwhile: that user need not be able to read it.
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
