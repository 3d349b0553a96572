"""Links planted in a base, before or after a model is registered: no command changes their targets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.fakes.hub import FakeHub
from tests.hostile.planted import REPO
from tests.world import ROOT, Home, random_bytes

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(3000), "sub/tokenizer.json": random_bytes(900)}
OWN = ("hub", "modelshelf", "hub/.locks", "modelshelf/incoming", "modelshelf/locks", "modelshelf/quarantine")
SIDECARS = ("modelshelf/models", "modelshelf/models/m.json", "modelshelf/tier.json", "modelshelf/meter.json")
FOLDER = "hub/models--org--name"
SHORT = ("modelshelf/locks", FOLDER)
"""What `make test` tries; with SHELF_HOSTILE it is every place."""
EVERY = "SHELF_HOSTILE" in os.environ
ALONE = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'
"""Make the rest of the machine read-only."""


def places(commit: str, digest: str) -> list[str]:
    """Return the names below a base that may be planted."""
    if not EVERY:
        return list(SHORT)
    folders = ["", "/blobs", "/snapshots", f"/snapshots/{commit}", f"/snapshots/{commit}/sub", "/refs", "/trees"]
    files = [f"/blobs/{digest}", f"/snapshots/{commit}/config.json", "/refs/main", f"/trees/{commit}.json"]
    return [*OWN, *SIDECARS, *(FOLDER + name for name in folders + files)]


@pytest.mark.parametrize("before", [True, False], ids=["before the model", "after it"])
def test_nothing_changes_where_a_planted_link_leads(home: Home, hub: FakeHub, before: bool) -> None:
    """Bytes, modes, times and names outside stay through pull, move, rm, gc, dedupe, verify, update and adopt.

    Each refusal is a sentence.
    """
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a mount namespace of its own needs root and unshare")
    commit = hub.add_repo(REPO, FILES)
    digest = hub_digest(FILES["model.safetensors"])
    order = {"root": str(home.root), "environ": home.environ(), "places": places(commit, digest), "before": before}
    command = ["unshare", "-m", "sh", "-c", ALONE, str(home.root), sys.executable, "-m", "tests.hostile.planted"]

    environ = home.environ(PYTHONPATH=f"{ROOT}:{ROOT / 'src'}", TMPDIR=str(home.root), HF_HOME=str(home.root / "hf"))
    done = subprocess.run([*command, json.dumps(order)], env=environ, cwd=home.work, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {place: said["changed"] for place, said in found.items() if said["changed"]} == {}
    assert {place: said["odd"] for place, said in found.items() if said["odd"]} == {}


def hub_digest(content: bytes) -> str:
    """Return the name of an LFS blob."""
    import hashlib

    return hashlib.sha256(content).hexdigest()
