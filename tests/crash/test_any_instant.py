"""Every operation may die at any instant: nothing is lost, and the same command again finishes it.

Each operation is killed just before its k-th change of a disk or commit of the registry, and at random instants.
`SHELF_CRASHES=300 pytest tests/crash` takes every k and as many instants; without it every fifteenth k and a few.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.builders import AGED_S, digest_of, put
from tests.crash.dying import DIED, Mortal
from tests.disks import escaping_links, files_of
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, random_bytes, tree

CRASHES = int(os.environ.get("SHELF_CRASHES", "6"))
STRIDE = 1 if CRASHES >= 100 else 15
COMMON = random_bytes(300_000, seed=1)
MODELS = {
    "m": {"config.json": b"{}", "deep/w.bin": random_bytes(5_000, seed=2), "model.safetensors": COMMON},
    "twin": {"config.json": b"[]", "model.safetensors": COMMON},
    "low": {"config.json": b"{}", "model.safetensors": random_bytes(8 * MIB + 5, seed=3)},
    "absent": {"config.json": b"{}", "model.safetensors": random_bytes(8 * MIB + 9, seed=4)},
}
NEWER = MODELS["m"] | {"config.json": b'{"v": 2}', "more.bin": random_bytes(9_000, seed=5)}
_LEFT_BY_THE_DEAD = (".shelf-tmp", ".part", ".map", ".tmp", "dummy_file_src", "dummy_file_dst")
"""Leftovers that gc deletes."""

Files = dict[str, bytes]


def _nothing(home: Home, hub: FakeHub) -> None:
    """Change nothing."""


def _release(home: Home, hub: FakeHub) -> None:
    hub.add_repo("org/m", NEWER)


def _garbage(home: Home, hub: FakeHub) -> None:
    """Leave garbage of every kind that gc deletes."""
    base = Base(home.primary)
    blobs = base.repo("org/m").blobs
    for name, size_bytes in ((digest_of("x.bin", b"x" * 500), 500), ("ab" * 32 + ".0a1b2c3d.incomplete", 700)):
        put(blobs / name, b"x" * size_bytes)
    put(base.part("cd" * 32), b"y" * 900)
    put(base.hub / "models--dead--one" / "blobs" / ("ef" * 32 + ".incomplete"), b"z")
    for path in scan.walk_files(base.hub):
        os.utime(path, (AGED_S, AGED_S), follow_symlinks=False)


def _ruin(home: Home, hub: FakeHub) -> None:
    """Move a model by hand, without its second name beside `hub`, and lose the registry."""
    (home.primary / "models--org--twin").unlink()
    shutil.move(Base(home.primary).repo("org/twin").path, Base(home.secondary).repo("org/twin").path)
    for path in Base(home.primary).own.glob("registry.db*"):
        path.unlink()


def _limit(home: Home, hub: FakeHub) -> None:
    """Limit the primary to what it holds, with too little room for the next model."""
    with home.open() as shelf:
        used_bytes = shelf.tiers()[0].usage.apparent_bytes
    home.extra["PRIMARY_CACHE_LIMIT_GB"] = str((used_bytes + 8 * MIB + 400_000) / 1e9)


@dataclass(frozen=True)
class Operation:
    """An operation of a library."""

    work: tuple[str, ...]
    subject: str = ""
    """The only model that differs afterwards."""
    prepare: Callable[[Home, FakeHub], None] = _nothing
    extra: Mapping[str, str] = field(default_factory=dict)


OPERATIONS = {
    "pull": Operation(("shelf", "pull", "absent"), "absent"),
    "move": Operation(("shelf", "move", "m", "secondary")),
    "evict": Operation(("shelf", "pull", "absent"), "absent", _limit),
    "promote": Operation(("use", "low"), extra={"PROMOTE": "always"}),
    "gc": Operation(("shelf", "gc"), prepare=_garbage),
    "dedupe": Operation(("shelf", "dedupe")),
    "update": Operation(("shelf", "update", "m"), "m", _release),
    "remove": Operation(("shelf", "rm", "m", "--files"), "m"),
    "reconcile": Operation(("shelf", "reconcile"), prepare=_ruin),
}


@dataclass(frozen=True)
class Library:
    """A library's state at one moment."""

    loads: dict[str, Files]
    """The files of each model that loads from where the registry says."""
    snapshots: dict[tuple[str, str], Files]
    """The files of each whole snapshot, by repository and commit."""
    files: list[str]
    """Files on the disks, without leftovers that gc deletes."""
    bytes_of_their_own: int
    """The number of blobs that share no bytes with another."""


class World:
    """A library that has work for each operation and can be restored."""

    def __init__(self, home: Home, hub: FakeHub, operation: Operation) -> None:
        self.home = home
        if operation.prepare is _limit:  # the registry changes its size freely, and counts where it is
            self._apart.mkdir()
            home.extra["DATABASE_URL"] = f"sqlite:///{self._apart}/registry.db"
        for name, files in MODELS.items():
            hub.add_repo(f"org/{name}", files)
        with home.open() as shelf:
            shelf.register("absent", "org/absent", download=False)
            shelf.register("twin", "org/twin")
            shelf.register("m", "org/m")
            shelf.register("low", "org/low", "secondary")
        twin = Base(home.primary).repo("org/twin").blob(digest_of("x.bin", COMMON))
        twin.unlink()  # it may share its bytes with m's
        twin.write_bytes(COMMON)
        operation.prepare(home, hub)
        home.extra.update(operation.extra)
        self._saved = home.root.with_name("saved")
        for folder in self._folders():
            shutil.copytree(folder, self._saved / folder.name, symlinks=True)

    def restore(self) -> None:
        """Restore the saved state."""
        for folder in self._folders():
            shutil.rmtree(folder)
            shutil.copytree(self._saved / folder.name, folder, symlinks=True)

    def look(self) -> Library:
        """Return the library's state before anything recovers it, and assert the invariants."""
        bases = [Base(self.home.primary), Base(self.home.secondary)]
        with self.home.open() as shelf:
            assert violations(shelf) == []
            loads = {
                model.row.model_name: tree(Path(model.path))
                for model in shelf.models()
                if model.path is not None and model.state in ("ready", "moving", "updating")
            }
        assert [escaping_links(base.path) for base in bases] == [[], []]
        blobs = {(path.stat().st_dev, path.stat().st_ino) for base in bases for path in base.hub.glob("*/blobs/*")}
        files = [f"{base.path.name}/{path}" for base in bases for path in files_of(base.path)]
        return Library(
            loads,
            dict(_snapshots(bases)),
            sorted(path for path in files if not path.endswith(_LEFT_BY_THE_DEAD)),
            len(blobs),
        )

    def nothing_is_under_way(self) -> bool:
        """Return whether no job waits and nothing is reserved."""
        with self.home.open() as shelf:
            return (
                shelf.services.registry.jobs(state=UNFINISHED) == []
                and shelf.services.registry.reservations.all() == []
            )

    def _folders(self) -> Iterator[Path]:
        yield from (folder for folder in (self.home.primary, self.home.secondary, self._apart) if folder.exists())

    @property
    def _apart(self) -> Path:
        return self.home.root / "apart"


def _snapshots(bases: list[Base]) -> Iterator[tuple[tuple[str, str], Files]]:
    """Yield every snapshot; of two of one commit, the one with more files."""
    found = [
        ((repo_id, commit_hash), tree(repo.snapshot(commit_hash)))
        for base in bases
        for _, repo_id, repo in scan.repos(base)
        for commit_hash in scan.snapshots(repo)
    ]
    return iter(sorted(found, key=lambda item: len(item[1])))


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> Operation:
    """The operation that is killed."""
    return OPERATIONS[request.param]


@pytest.fixture
def world(home: Home, hub: FakeHub, operation: Operation) -> World:
    """A library that has work for the operation."""
    return World(home, hub, operation)


def check_survived(operation: Operation, before: Library, now: Library, after: Library) -> None:
    """Assert that each model is in its old or new state, and that no snapshot to be kept is lost."""
    for name, files in before.loads.items():
        if name != operation.subject:
            assert now.loads[name] == files, name
        elif name in now.loads:
            assert now.loads[name] in (files, after.loads.get(name)), name
    for key in before.snapshots.keys() & after.snapshots.keys():
        assert now.snapshots[key] == before.snapshots[key] == after.snapshots[key], key


def check_each_death(
    operation: Operation, world: World, mortal: Mortal, deaths: Iterator[tuple[int, float | None]], after: Library
) -> int:
    """Die at some steps or instants until one is behind the end; return how often it died."""
    before = world.look()
    for count, (at, after_s) in enumerate(deaths):
        world.restore()
        code = mortal.do(at, *operation.work, after_s=after_s)
        assert code in (0, DIED), (at, after_s)

        check_survived(operation, before, world.look(), after)

        if code == DIED:
            mortal.do(0, *operation.work)
        ended = world.look()
        assert set(ended.files) ^ set(after.files) == set(), (at, after_s)
        assert ended == after, (at, after_s)
        assert world.nothing_is_under_way(), (at, after_s)
        if code != DIED and after_s is None:
            return count
    return count


def finish_once(operation: Operation, world: World, mortal: Mortal) -> tuple[Library, float]:
    """Return the state after the whole operation, and how many seconds it took."""
    begun_s = time.monotonic()
    assert mortal.do(0, *operation.work) == 0
    took_s = time.monotonic() - begun_s
    after = world.look()
    world.restore()
    return after, took_s


def test_it_survives_a_kill_at_every_step(operation: Operation, world: World, mortal: Mortal) -> None:
    """After a kill at every step the invariants hold, and rerunning ends as an uninterrupted run does."""
    after, _ = finish_once(operation, world, mortal)
    steps = ((at, None) for at in itertools.count(1, STRIDE))

    died = check_each_death(operation, world, mortal, steps, after)

    assert died * STRIDE > 10


def test_it_survives_a_kill_at_any_instant(operation: Operation, world: World, mortal: Mortal) -> None:
    """After a kill at random instants, between the changes too, the same holds."""
    after, took_s = finish_once(operation, world, mortal)
    random = Random(17)
    instants = ((0, random.uniform(0, took_s)) for _ in range(CRASHES))

    check_each_death(operation, world, mortal, instants, after)
