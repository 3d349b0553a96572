"""Children of the tests' own engine."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelshelf.engines.child import Child, Launch

PROGRAM = Path(__file__).parents[2] / "fakes" / "engine_program.py"


def launch_of(*words: str, grace_s: float = 10.0) -> Launch:
    """Return how the tests' own engine is started with these words."""
    command = [sys.executable, "-P", str(PROGRAM), "--alias", "smol", *words]
    return Launch(command, dict(os.environ), uuid.uuid4().hex, grace_s=grace_s)


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    """Start a child; it ends with the test."""
    children = []

    def start_child(*words: str, launch: Launch | None = None) -> Child:
        children.append(Child(launch or launch_of(*words), lambda _: None))
        return children[-1]

    yield start_child
    for child in children:
        child.stop()
