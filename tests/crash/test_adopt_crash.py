"""A killed adoption loses no byte: every model is whole at its old or new place, and the next run finishes.

See `tests.crash.child` for how it dies.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base, CacheDir
from modelshelf.store.repos import scan
from tests.builders import lay_out, put
from tests.crash.dying import DIED, Mortal
from tests.crash.test_move_crash import CRASHES
from tests.disks import escaping_links, far_home
from tests.fakes.hub import FakeHub
from tests.integration.legacy import stray
from tests.invariants import violations
from tests.world import Home, tree, wait_until

STRIDE = 1 if CRASHES >= 100 else 61
"""An adoption takes hundreds of steps; `SHELF_CRASHES=300` kills at every one."""
FIRST = {"move": 1, "link": 1 + STRIDE // 2}
"""The first step to die at: both ways have most steps in common."""
MODELS = """
    model org/shared
      commit a main
        config.json 20
        model.safetensors 3000 shared
      commit b
        config.json 20
        model.safetensors 3001
    dataset org/rows
      commit c main
        rows.bin 700 shared
"""
STRAY = """
    model org/stray
      commit a main
        model.safetensors 900 shared
"""
SNAPSHOTS = [("model", "org/shared", "a"), ("model", "org/shared", "b"), ("model", "org/stray", "a")]
SNAPSHOTS += [("dataset", "org/rows", "c")]


@pytest.fixture(params=["link", "copy"])
def home(request: pytest.FixtureRequest, tmp_path: Path, hub: FakeHub) -> Iterator[Home]:
    """A home whose tiers are on one file system, then one where they are on two; the registry is elsewhere."""
    with contextlib.ExitStack() as held:
        root = tmp_path / "user"
        home = held.enter_context(far_home(root, hub.url)) if request.param == "copy" else Home(root, hub.url)
        home.extra = {"DATABASE_URL": f"sqlite:///{root}/registry.db"}
        yield home


def draw(old: Path) -> dict[tuple[str, str, str], dict[str, bytes]]:
    """Lay out a cache; return each snapshot's files."""
    lay_out(old, MODELS)
    stray(old, STRAY)
    put(old / "token", b"hf_secret")
    return {key: found for key in SNAPSHOTS for found in copies(key, old)}


def copies(key: tuple[str, str, str], *bases: Path) -> Iterator[dict[str, bytes]]:
    """Yield what can be read of a snapshot in each folder that may hold it; a view's link there is no copy."""
    repo_type, repo_id, letter = key
    for base in bases:
        for place in (Base(base), CacheDir(base)):
            repo = place.repo(repo_id, repo_type)
            folder = repo.snapshot(letter * 40)
            if folder.is_dir() and not repo.path.is_symlink():
                yield tree(folder)


def places(old: Path, home: Home) -> list[Path]:
    """Return every folder that may hold a snapshot."""
    return [old, home.primary, *old.parent.glob("old.before-*")]


def check(home: Home, shelf: Shelf, old: Path, whole: dict[tuple[str, str, str], dict[str, bytes]]) -> None:
    """Assert, before anything recovers, that every snapshot is whole somewhere and registered models load."""
    for key, files in whole.items():
        assert files in list(copies(key, *places(old, home))), key
    assert violations(shelf, at_rest=False) == []
    for model in shelf.models():
        if model.state in ("ready", "moving"):
            key = ("model", model.row.hf_path, (model.row.commit_hash or "")[0])
            assert tree(shelf.path(model.row.model_name)) == whole[key]


def check_done(
    home: Home, shelf: Shelf, old: Path, mode: str, whole: dict[tuple[str, str, str], dict[str, bytes]]
) -> None:
    """Assert that everything is on the tier and nowhere else."""
    check(home, shelf, old, whole)
    assert all(list(copies(key, home.primary)) == [files] for key, files in whole.items())
    assert {(model.base, str(model.state)) for model in shelf.models()} == {(str(home.primary), "ready")}
    left = [path for place in places(old, home) if not place.is_symlink() for path in place.rglob("*--*")]
    assert [path for path in left if home.primary not in path.parents and ".lock" not in str(path)] == []
    assert old.is_symlink() == (mode == "link")
    assert escaping_links(home.primary) == []
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def begin_again(home: Home, shelf: Shelf, old: Path) -> None:
    """Forget everything that was adopted."""
    for model in shelf.models():
        shelf.remove(model.row.model_name)
    if old.is_symlink():
        old.unlink()
    for path in (*places(old, home), old):
        if path != home.primary:
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(home.primary / "hub")
    for name in ("token", "modelshelf/links.json"):
        (home.primary / name).unlink(missing_ok=True)


@pytest.mark.parametrize("mode", ["move", "link"])
def test_an_adoption_survives_a_kill_at_every_step(home: Home, shelf: Shelf, mortal: Mortal, mode: str) -> None:
    """After a kill at any step nothing is lost, and the same command again adopts everything."""
    for at in itertools.count(FIRST[mode], STRIDE):
        old = home.root / f"cache-{at}" / "old"
        whole = draw(old)

        code = mortal.do(at, "adopt", str(old), mode)

        check(home, shelf, old, whole)
        if code == DIED:
            shelf.adopt(str(old), mode)
        assert {job.state for job in shelf.services.registry.jobs()} == {"done"}
        check_done(home, shelf, old, mode, whole)
        if code != DIED:
            break
        begin_again(home, shelf, old)

    assert (code, at > STRIDE) == (0, True)


@pytest.mark.parametrize("seed", range(CRASHES))
def test_an_adoption_survives_a_kill_at_any_instant(home: Home, shelf: Shelf, seed: int, hub: FakeHub) -> None:
    """After a kill at any instant the next command finishes, and every byte is there."""
    old = home.root / "cache" / "old"
    whole = draw(old)
    child = home.start("adopt", str(old), "--link")
    wait_until(lambda: shelf.services.registry.jobs() or child.process.poll() is not None, "the adoption to begin")
    time.sleep(Random(seed).random() * 0.4)  # the instant is the test case: nothing is waited for
    child.kill()

    check(home, shelf, old, whole)

    with contextlib.suppress(FileNotFoundError):
        shelf.adopt(str(old), "link")
    check_done(home, shelf, old, "link", whole)
    assert scan.refs(Base(home.primary).repo("org/shared"))["main"] == "a" * 40
