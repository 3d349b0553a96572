"""A killed move leaves a whole model that loads before anything recovers it; the next command finishes it.

A process dies just before its k-th change of a disk, for every k. `SHELF_CRASHES=300 pytest tests/crash` takes every
k; without it every seventeenth. Random instants: `tests.crash.test_any_instant`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.jobs import JobKind
from modelshelf.errors import BadInput
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.crash.dying import DIED, Mortal
from tests.disks import escaping_links, far_home, files_of, identity
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, random_bytes, tree

CRASHES = int(os.environ.get("SHELF_CRASHES", "6"))
STRIDE = 1 if CRASHES >= 100 else 17
REPO, OTHER = "org/name", "org/other"
FILES = {
    "config.json": b"{}",
    "deep/w.bin": random_bytes(5_000, seed=2),
    "model.safetensors": random_bytes(8 * MIB + 5, seed=1),
}
OTHERS = {"model.safetensors": random_bytes(8 * MIB, seed=9)}


@pytest.fixture
def home(tmp_path: Path, hub: FakeHub) -> Iterator[Home]:
    """A home whose tiers are on two file systems; `tests.crash.test_any_instant` has them on one.

    The registry is elsewhere, because its write-ahead log grows with every crash and would count towards the limit.
    """
    with far_home(tmp_path / "user", hub.url) as home:
        home.extra = {"DATABASE_URL": f"sqlite:///{tmp_path}/registry.db"}
        yield home


def steps() -> Iterator[int]:
    """Yield the changes to die at; the choice is fixed, because another one in each run would find no more."""
    return itertools.count(1, STRIDE)


def blobs(base: Path) -> dict[str, tuple[int, int]]:
    """Return the finished blobs of a base, by name."""
    return {path.name: identity(path) for path in Base(base).repo(REPO).blobs.glob("*") if path.suffix == ""}


def check_survived(home: Home, shelf: Shelf, *names: str) -> None:
    """Assert, before anything recovers, the invariants, and that each model loads from where the registry says."""
    assert violations(shelf) == []
    assert [escaping_links(base) for base in (home.primary, home.secondary)] == [[], []]
    for name in names:
        assert tree(shelf.path(name)) == (FILES if name == "m" else OTHERS), name


def test_a_move_survives_a_kill_at_every_step(hub: FakeHub, home: Home, shelf: Shelf, mortal: Mortal) -> None:
    """After a kill at every step the model loads; the next move finishes, copies no finished blob, leaves nothing."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)

    for at in steps():
        code = mortal.do(at, "move", "m", "secondary")
        arrived = blobs(home.secondary)
        check_survived(home, shelf, "m")
        if code == DIED:
            with contextlib.suppress(BadInput):  # it is there already: only its old copy was left
                shelf.move("m", "secondary")
        assert arrived.items() <= blobs(home.secondary).items()
        assert (shelf.model("m").state, shelf.model("m").base) == ("ready", str(home.secondary))
        assert files_of(home.primary) == []
        assert {job.state for job in shelf.services.registry.jobs()} == {"done"}
        check_survived(home, shelf, "m")
        if code != DIED:
            break
        shelf.move("m", "primary")

    assert (code, at > STRIDE) == (0, True)
    assert shelf.services.registry.reservations.all() == []


def test_a_pull_that_makes_room_survives_a_kill_at_every_step(
    hub: FakeHub, home: Home, shelf: Shelf, mortal: Mortal
) -> None:
    """After a kill at every step the evicted model is whole on one tier, and the next pull gets its room."""
    hub.add_repo(REPO, FILES)
    hub.add_repo(OTHER, OTHERS)
    shelf.register("m", REPO)
    shelf.register("other", OTHER, download=False)
    used = shelf.tiers()[0].usage.apparent_bytes
    home.extra["PRIMARY_CACHE_LIMIT_GB"] = str((used + 3_000_000) / 1e9)

    for at in steps():
        code = mortal.do(at, "pull", "other")
        check_survived(home, shelf, "m")
        if code == DIED:
            with home.open() as limited:
                limited.pull("other")
                limited.services.runner.run_due(JobKind.DELETE_OLD_COPY)
        check_survived(home, shelf, "m", "other")
        assert shelf.model("m").base == str(home.secondary)
        if code != DIED:
            break
        shelf.remove("other", delete_files=True)
        shelf.move("m", "primary")
        shelf.register("other", OTHER, download=False)

    assert (code, at > STRIDE) == (0, True)
    assert shelf.services.registry.reservations.all() == []


def test_a_promotion_survives_a_kill_at_every_step(hub: FakeHub, home: Home, shelf: Shelf, mortal: Mortal) -> None:
    """After a kill at every step of a promotion the model is whole, and the next use continues it."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "secondary")
    home.extra["PROMOTE"] = "always"

    for at in steps():
        code = mortal.do(at, "use", "m")
        check_survived(home, shelf, "m")
        if code == DIED:
            recover_dead_owners(shelf.services.registry)
            assert mortal.do(0, "use", "m") == 0
        assert (shelf.model("m").state, shelf.model("m").base) == ("ready", str(home.primary))
        assert files_of(home.secondary) == []
        check_survived(home, shelf, "m")
        if code != DIED:
            break
        shelf.move("m", "secondary")

    assert (code, at > STRIDE) == (0, True)
