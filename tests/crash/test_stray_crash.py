"""Taking in what code with `cache_dir=BASE` downloaded: whatever dies, no byte is lost and no link dangles.

A process dies just before its k-th change of a disk, for every k with `SHELF_CRASHES=100`, else for every 13th.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest

from modelshelf.domain.jobs import JobKind
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.crash.dying import DIED, Mortal
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, random_bytes, tree

STRIDE = 1 if int(os.environ.get("SHELF_CRASHES", "6")) >= 20 else 13
REPO = "org/name"
FILES = {"config.json": b"{}", "deep/w.bin": random_bytes(2000), "model.safetensors": random_bytes(3000, seed=2)}
FETCH = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], cache_dir=sys.argv[2])
"""


@pytest.fixture
def fetched(hub: FakeHub, shelf: Shelf, home: Home) -> Path:
    """What the real huggingface_hub downloads with `cache_dir=BASE`, beside the home."""
    hub.add_repo(REPO, FILES)
    shelf.tiers()
    home.python(FETCH, REPO, str(home.root / "fetched")).checked()
    return home.root / "fetched/models--org--name"


def age(folder: Path) -> None:
    """Let everything below a folder have been written two minutes ago."""
    for path in (*folder.rglob("*"), folder):
        old = path.lstat().st_mtime - 120
        os.utime(path, (old, old), follow_symlinks=False)


def snapshots(home: Home) -> list[dict[str, bytes]]:
    """Return what can be read of the snapshot, beside hub and in it."""
    places = (home.primary / "models--org--name", Base(home.primary).repo(REPO).path)
    return [tree(next(iter((place / "snapshots").glob("*")), place / "none")) for place in places]


@pytest.mark.parametrize("is_registered", [False, True], ids=["new", "registered"])
def test_a_stray_survives_a_kill_at_every_step(
    shelf: Shelf, home: Home, fetched: Path, mortal: Mortal, is_registered: bool
) -> None:
    """Its snapshot is whole in one of both places at every instant; another run finishes, with the link in place."""
    stray = home.primary / "models--org--name"
    for at in itertools.count(1, STRIDE):
        if is_registered:
            shelf.register("name", REPO)
            stray.unlink()
        shutil.copytree(fetched, stray, symlinks=True)
        age(stray)

        code = mortal.do(at, "view strays")

        assert FILES in snapshots(home)
        assert violations(shelf) == []
        if code == DIED:
            if stray.is_dir() and not stray.is_symlink():
                age(stray)
            for job in shelf.services.adopter.enqueue_strays():
                shelf.services.runner.finish(job)
            shelf.services.runner.run_due(JobKind.ADOPT)
            shelf.services.views.keep_true(look=True)
        assert (stray.is_symlink(), snapshots(home)) == (True, [FILES, FILES])
        assert [(model.row.model_name, str(model.state)) for model in shelf.models()] == [("name", "ready")]
        assert violations(shelf) == []
        if code != DIED:
            break
        shelf.remove("name", delete_files=True)
        assert not os.path.lexists(stray)

    assert (code, at > STRIDE) == (0, True)
