"""Processes that die."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.crash.dying import Mortal
from tests.world import ROOT, Home


@pytest.fixture
def mortal(home: Home) -> Iterator[Mortal]:
    """A process whose forks die."""
    command = [sys.executable, "-m", "tests.crash.child"]
    environ = home.environ() | {"PYTHONPATH": os.pathsep.join([home.environ()["PYTHONPATH"], str(ROOT)])}
    with subprocess.Popen(
        command, cwd=home.work, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Mortal(home, process)
        assert process.stdin is not None
        process.stdin.close()
