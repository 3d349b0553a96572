"""A server that fetches for clients may die at any instant: nothing half is published, and the next request gets all.

It is killed just before its k-th change of a disk or commit of the registry, and at random instants.
`SHELF_CRASHES=300` takes every k and as many instants; without it every fifteenth k and a few.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.store.layout import Base
from tests.crash.dying import DIED, Mortal
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, random_bytes, tree

CRASHES = int(os.environ.get("SHELF_CRASHES", "6"))
STRIDE = 1 if CRASHES >= 100 else 15
FILES = {"config.json": b"{}", "sub/model.safetensors": random_bytes(2 * MIB + 77)}
WORK = ("mirror", "org/name", *FILES)


class Mirror:
    """A library without a model, which can be restored, and a process that fetches for a client."""

    def __init__(self, home: Home, hub: FakeHub, mortal: Mortal) -> None:
        self.home, self._mortal = home, mortal
        home.extra["SHELF_MIRROR"] = "on"
        self.commit = hub.add_repo("org/name", FILES)
        with home.open() as shelf:
            shelf.tiers()
            shelf.services.tiers.open_to_write(shelf.services.tiers.settings.primary)
        self._saved = home.root.with_name("saved")
        shutil.copytree(home.primary, self._saved, symlinks=True)

    def restore(self) -> None:
        """Forget everything that was fetched."""
        shutil.rmtree(self.home.primary)
        shutil.copytree(self._saved, self.home.primary, symlinks=True)

    def ask(self, at: int = 0, after_s: float | None = None) -> int:
        """Let a client read all files, from a process that may die; return its exit code."""
        return self._mortal.do(at, *WORK, after_s=after_s)

    def check_no_half(self) -> None:
        """Assert, before anything recovers, that every blob has the bytes of its name, and every link leads to one."""
        found = tree(Base(self.home.primary).repo("org/name").snapshot(self.commit))
        assert found.items() <= FILES.items()
        with self.home.open() as shelf:
            assert violations(shelf) == []

    def check_all(self) -> None:
        """Assert that everything is here and registered once, and that nothing is under way or reserved."""
        with self.home.open() as shelf:
            registry = shelf.services.registry
            (model,) = shelf.models()
            assert (model.state, model.row.mirrored) == ("ready", "open")
            assert tree(Path(model.path or "")) == FILES
            assert (registry.jobs(state=UNFINISHED), registry.reservations.all()) == ([], [])
            assert violations(shelf) == []
        base = Base(self.home.primary)
        # A kill between a blob's name and the end of its map leaves that map to gc.
        named = {f"{path.name}.map" for path in base.repo("org/name").blobs.iterdir()}
        left = {path.name for path in base.incoming.glob("*") if path.suffix != ".lock"}
        assert left <= named


@pytest.fixture
def mirror(home: Home, hub: FakeHub, mortal: Mortal) -> Mirror:
    """The library and the process."""
    return Mirror(home, hub, mortal)


def check_each_death(mirror: Mirror, deaths: Iterator[tuple[int, float | None]]) -> int:
    """Die at some steps or instants until one is behind the end; return how often it died."""
    for count, (at, after_s) in enumerate(deaths):
        mirror.restore()
        code = mirror.ask(at, after_s)
        assert code in (0, DIED), (at, after_s)
        mirror.check_no_half()
        if code == DIED:
            assert mirror.ask() == 0, (at, after_s)
        mirror.check_all()
        if code != DIED and after_s is None:
            return count
    return count


def test_a_mirrored_fetch_survives_a_kill_at_every_step(mirror: Mirror) -> None:
    """After a kill at every step no blob is half, and the next client has every byte, registered once."""
    died = check_each_death(mirror, ((at, None) for at in itertools.count(1, STRIDE)))

    assert died * STRIDE > 10


def test_a_mirrored_fetch_survives_a_kill_at_any_instant(mirror: Mirror) -> None:
    """After a kill at random instants, while bytes arrive too, the same holds."""
    begun_s = time.monotonic()
    assert mirror.ask() == 0
    took_s = time.monotonic() - begun_s
    random = Random(23)

    check_each_death(mirror, ((0, random.uniform(0, took_s)) for _ in range(CRASHES)))
