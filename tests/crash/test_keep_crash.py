"""An update or a reconcile that is killed at any step: nothing is lost, and the next run finishes.

`SHELF_CRASHES=300 pytest tests/crash` kills at every step; at about 10 of them without.
"""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import sidecars
from tests.crash.dying import DIED, Mortal
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, random_bytes, tree

CRASHES = int(os.environ.get("SHELF_CRASHES", "10"))
STRIDE = max(1, 100 // CRASHES)
REPO = "org/name"
KEPT = random_bytes(400_000, 1)


def files_of(version: int) -> dict[str, bytes]:
    """Return the files of a commit; one of them is in all commits."""
    return {"config.json": b"%d" % version, "kept.bin": KEPT, "deep/a.bin": random_bytes(300_000, version + 10)}


def test_an_update_dies_at_any_step(hub: FakeHub, home: Home, mortal: Mortal) -> None:
    """After a kill at any step the model loads whole, old or new; the next update leaves only the new commit."""
    hub.add_repo(REPO, files_of(0))
    with home.open() as shelf:
        shelf.register("m", REPO)
    base = Base(home.primary)
    for version, step in enumerate(itertools.count(1, STRIDE), 1):
        new = hub.add_repo(REPO, files_of(version))

        code = mortal.do(step, "shelf", "update", "m")

        with home.open() as shelf:
            model = shelf.model("m")
            at = version if model.row.commit_hash == new else version - 1
            assert tree(shelf.path("m")) == files_of(at), f"step {step}"
            assert violations(shelf) == [], f"step {step}"
            shelf.update("m")
            assert tree(shelf.path("m")) == files_of(version), f"step {step}"
            assert scan.snapshots(base.repo(REPO)) == [new], f"step {step}"
            assert [card.commit_hash for card in sidecars.read_all(base)] == [new], f"step {step}"
            assert [job.kind for job in shelf.services.registry.jobs(state=UNFINISHED)] == [], f"step {step}"
            assert list(base.incoming.glob("*.part")) == [], f"step {step}"
            assert violations(shelf) == [], f"step {step}"
            assert shelf.services.reconciler.plan().steps == (), f"step {step}"
        if code != DIED:
            break
    assert (code, step > 60) == (0, True)


@pytest.fixture
def ruins(hub: FakeHub, home: Home) -> Path:
    """A broken library that is saved so that it can be restored; return where.

    The registry is lost, a move was interrupted, a model was moved by hand, a ref dangles, two models have one name.
    """
    hub.add_repo(REPO, files_of(1))
    hub.add_repo("org/other", files_of(2))
    hub.add_repo("org/third", files_of(3))
    with home.open() as shelf:
        shelf.register("m", REPO)
        shelf.register("byhand", "org/other")
        shelf.register("twice", "org/third", "secondary")
        shelf.pin("m", "mine")
    fast, slow = Base(home.primary), Base(home.secondary)
    sidecar = next(sidecar for sidecar in sidecars.read_all(fast) if sidecar.model_name == "m")
    shutil.copytree(fast.repo(REPO).path, slow.repo(REPO).path, symlinks=True)
    sidecars.write(slow, replace(sidecar, arriving_from=str(home.primary)))
    shutil.move(fast.repo("org/other").path, slow.repo("org/other").path)
    sidecars.write(fast, replace(sidecar, model_name="twice", pinned=False))
    slow.repo("org/third").ref("main").write_text("d" * 40)
    for path in fast.own.glob("registry.db*"):
        path.unlink()
    aside = home.root / "aside"
    aside.mkdir()
    for folder in (home.primary, home.secondary):
        shutil.copytree(folder, aside / folder.name, symlinks=True)
    return aside


def bring_back(home: Home, aside: Path) -> None:
    """Restore the broken library."""
    for folder in (home.primary, home.secondary):
        shutil.rmtree(folder)
        shutil.copytree(aside / folder.name, folder, symlinks=True)


def outcome(home: Home) -> dict[str, tuple[object, ...]]:
    """Return the library's models by name, and assert that nothing is left to do or wrong."""
    with home.open() as shelf:
        assert shelf.services.reconciler.plan().steps == ()
        assert violations(shelf) == []
        return {
            m.row.model_name: (
                m.state,
                m.base,
                m.row.hf_path,
                m.row.pinned,
                m.row.pin_reason,
                len(tree(Path(m.path or ""))),
            )
            for m in shelf.models()
        }


def test_a_reconcile_dies_at_any_step(home: Home, ruins: Path, mortal: Mortal) -> None:
    """After a crash, rerunning ends in the same state as an uninterrupted run."""
    home.run("reconcile").checked()
    wanted = outcome(home)
    assert {name: facts[:2] for name, facts in wanted.items()} == {
        "m": ("ready", str(home.secondary)),
        "byhand": ("ready", str(home.secondary)),
        "twice": ("ready", str(home.primary)),
        "twice-2": ("ready", str(home.secondary)),
    }
    for step in itertools.count(1, STRIDE):
        bring_back(home, ruins)

        code = mortal.do(step, "shelf", "reconcile")

        home.run("reconcile").checked()
        assert outcome(home) == wanted, f"step {step}"
        if code != DIED:
            break
    assert (code, step > 40) == (0, True)
