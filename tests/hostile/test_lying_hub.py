"""Whatever a hub says, nothing outside the model's own folder changes, and no error is a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import ROOT

COUNT = int(os.environ.get("SHELF_HOSTILE") or 40)
"""How many lies are tried; thousands in the long form."""


def test_a_hub_that_lies_does_no_harm(tmp_path: Path) -> None:
    """Adding and removing a model of a hub that lies in any field leaves bytes, modes and times around it alone."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("a mount namespace needs root")
    world = tmp_path / "world"
    world.mkdir()

    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", "tests.hostile.lying_hub", f"{COUNT}", str(world)],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(world)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr[-6000:]
