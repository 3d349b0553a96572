"""A killed repair loses nothing: damaged bytes are kept, nothing else gets worse, and the next run repairs.

`SHELF_CRASHES=300 pytest tests/crash` kills at as many random instants and at every step; at 8 and every
fifth without.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.store.fs import TEMPORARY
from modelshelf.store.layout import Base
from tests.builders import digest_of
from tests.crash.dying import DIED, Mortal
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, random_bytes, tree

CRASHES = int(os.environ.get("SHELF_CRASHES", "8"))
STRIDE = 1 if CRASHES >= 100 else 5
REPO = "org/name"
WEIGHTS = random_bytes(9_000_000, seed=1)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "sub/other.bin": random_bytes(3000, seed=2)}
DIGEST = digest_of("model.safetensors", WEIGHTS)
BAD = bytes(len(WEIGHTS))
WHERE = ["another tier", "the hub"]


class World:
    """A home with a damaged model that can be restored."""

    def __init__(self, home: Home, hub: FakeHub, where: str) -> None:
        hub.add_repo(REPO, FILES)
        hub.add_repo("other/copy", {"weights.bin": WEIGHTS})
        self.home = home
        home.run("add", "m", REPO).checked()
        if where == "another tier":
            home.run("add", "other", "other/copy", "--to", "secondary").checked()
        self.repo = Base(home.primary).repo(REPO)
        self.repo.blob(DIGEST).write_bytes(BAD)
        (self.path / "sub/other.bin").unlink()
        self._saved = home.root.with_name("saved")
        for base in self._bases():
            shutil.copytree(base, self._saved / base.name, symlinks=True)

    @property
    def path(self) -> Path:
        """The snapshot's path."""
        return next(self.repo.snapshots.iterdir())

    def restore(self) -> None:
        """Restore the state after the damage."""
        for base in self._bases():
            shutil.rmtree(base)
            shutil.copytree(self._saved / base.name, base, symlinks=True)

    def _bases(self) -> list[Path]:
        return [base for base in (self.home.primary, self.home.secondary) if base.exists()]

    def check_after_death(self) -> None:
        """Assert that nothing is lost and nothing else is wrong."""
        aside = Base(self.home.primary).quarantine
        kept = [self.repo.blob(DIGEST), *(aside.iterdir() if aside.exists() else ())]
        assert any(path.exists() and path.read_bytes() == BAD for path in kept)
        with self.home.open() as shelf:
            others = [text for text in violations(shelf) if not any(n in text for n in (DIGEST, *self.damaged))]
        assert others == []

    damaged = ("model.safetensors", "sub/other.bin")

    def check_repair(self) -> None:
        """Assert that the next run repairs everything."""
        done = self.home.run("verify", "m", "--repair", "--json")
        assert done.code == 0, (done.out, done.err)
        there = {name: data for name, data in tree(self.path).items() if not name.endswith(TEMPORARY)}
        assert there == FILES  # at worst plus a temporary link of the dead process, which gc deletes
        with self.home.open() as shelf:
            assert violations(shelf) == []
            assert shelf.model("m").state == "ready"
            assert shelf.services.registry.reservations.all() == []
            assert shelf.services.registry.jobs(state=UNFINISHED) == []
        assert list(Base(self.home.primary).incoming.glob("*.part")) == []


@pytest.fixture(params=WHERE)
def world(home: Home, hub: FakeHub, request: pytest.FixtureRequest) -> World:
    """A damaged model, with good bytes elsewhere."""
    return World(home, hub, request.param)


def test_a_repair_that_dies_at_any_step_is_finished_by_the_next(world: World, mortal: Mortal) -> None:
    """After a kill right before any change of the disk, the next repair finishes."""
    step = 1
    while (code := mortal.do(step, "shelf", "verify", "m", "--repair")) == DIED:
        world.check_after_death()
        world.check_repair()
        world.restore()
        step += STRIDE
    assert code == 0
    assert step > 6  # set aside, open the part, record its segments, publish, link, write the result


def test_a_repair_that_dies_at_random_instants_is_finished_by_the_next(world: World) -> None:
    """After a kill at random instants, between the changes too, the same holds."""
    took_s = timed(lambda: world.home.run("verify", "m", "--repair"))
    random = Random(17)
    for _ in range(CRASHES // len(WHERE)):
        world.restore()
        child = world.home.start("verify", "m", "--repair")
        time.sleep(random.uniform(0.3, 1.0) * took_s)
        child.kill()
        world.check_after_death()
        world.check_repair()


def timed(action: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    begun_s = time.monotonic()
    action()
    return time.monotonic() - begun_s
