"""Processes that die."""

from __future__ import annotations

import pytest

from tests.crash.dying import Mortal
from tests.world import Home


@pytest.fixture
def mortal(home: Home) -> Mortal:
    """Processes of this home that die."""
    return Mortal(home)
