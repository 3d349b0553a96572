"""Several processes move, pull, remove and load the same models: nothing is lost, and no limit is passed.

`SHELF_SECONDS=60 pytest tests/integration/jobs/test_two_processes.py` runs for a minute; the default is five seconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.jobs import UNFINISHED, JobKind
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.disks import FarHome, escaping_links, far_home
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import ROOT, random_bytes, tree

SECONDS = float(os.environ.get("SHELF_SECONDS", "5"))
SIZE = 1_500_000
LIMIT = 4 * SIZE
"""Three models fit beside what the tier stores of its own; there are four."""
NAMES = ("a", "b", "c", "d")
COMMON = random_bytes(200_000, seed=1)

ACTOR = """
import json, os, random, sys, time
from pathlib import Path
from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.errors import Cancelled, ShelfError

seed, seconds, *names = sys.argv[1:]
dice, done = random.Random(int(seed)), {}

def read(name):
    with shelf.services.leaser.using(name, "load", f"actor {seed}") as model:
        for path in sorted(Path(model.path).rglob("*")):
            if path.is_file():
                path.read_bytes()

with open_shelf() as shelf:
    over = time.monotonic() + float(seconds)
    deeds = {
        "down": lambda name: shelf.move(name, "secondary"),
        "up": lambda name: shelf.move(name, "primary"),
        "pull": lambda name: shelf.pull(name),
        "load": read,
    }
    while time.monotonic() < over or sum(done[did] for did in done if did.endswith("ok")) < 4:
        deed, name = dice.choice(list(deeds)), dice.choice(names)
        try:
            deeds[deed](name)
            outcome = "ok"
        except (ShelfError, Cancelled) as err:
            outcome = type(err).__name__
        done[f"{deed} {outcome}"] = done.get(f"{deed} {outcome}", 0) + 1
print(json.dumps(done))
"""
ALLOWED = {"ok", "BadInput", "Conflict", "OutOfSpace", "Unavailable"}
"""Errors that conflicting commands may get; never corrupt, denied or unknown ones."""


@pytest.fixture
def home(tmp_path: Path, hub: FakeHub) -> Iterator[FarHome]:
    """A home with a small primary on another file system than the secondary."""
    with far_home(tmp_path / "user", hub.url) as far:
        far.extra = {
            "PRIMARY_CACHE_LIMIT_GB": str(LIMIT / 1e9),
            "DATABASE_URL": f"sqlite:///{far.root}/registry.db",
            "PYTHONPATH": os.pathsep.join([far.environ()["PYTHONPATH"], str(ROOT)]),
        }
        yield far


def files(name: str) -> dict[str, bytes]:
    """Return a model's files."""
    return {"common.bin": COMMON, "config.json": b"{}", "model.safetensors": random_bytes(SIZE, seed=ord(name))}


@contextlib.contextmanager
def watched(shelf: Shelf, sizes: list[int], faults: list[str]) -> Iterator[None]:
    """Watch the primary's usage, and for what must never happen."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            sizes.append(_written_bytes(shelf))
            faults.extend(_broken(shelf))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _broken(shelf: Shelf) -> Iterator[str]:
    """Yield models that the registry calls whole, before and after the scan, and that aren't."""
    for row in shelf.services.registry.models():
        base = Base(Path(shelf.services.library.base_of(row)))
        missing = scan.missing_files(base.repo(row.hf_path), row.commit_hash or "", shelf.services.library.files(row))
        if missing and shelf.services.registry.model(row.model_name) == row:
            yield f"{row.model_name} is complete without {missing[0].path}"


def _written_bytes(shelf: Shelf) -> int:
    """Return the bytes on the primary; a scan may count what goes and what comes, so the smallest of three counts."""
    base = Path(shelf.services.tiers.settings.primary.base)
    found = _look(base)
    for _ in range(2):
        if found > LIMIT:
            found = min(found, _look(base))
    return found


def _look(base: Path) -> int:
    """Return the bytes written below a base; a file that is renamed meanwhile counts once."""
    sizes: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(base):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                written = min(found.st_size, found.st_blocks * 512) if path.suffix == ".part" else found.st_size
                sizes[found.st_dev, found.st_ino] = written
    return sum(sizes.values())


def test_two_processes_against_each_other(hub: FakeHub, home: FarHome, shelf: Shelf) -> None:
    """Every command succeeds or says why not; in the end every model is whole and loads, and no job waits."""
    for name in NAMES:
        hub.add_repo(f"org/{name}", files(name))
        shelf.register(name, f"org/{name}", "secondary")
    sizes: list[int] = []
    faults: list[str] = []

    with watched(shelf, sizes, faults):
        actors = [home.start_program("python", "-c", ACTOR, str(seed), str(SECONDS), *NAMES) for seed in (1, 2)]
        ended = [actor.finish(timeout_s=SECONDS + 120).checked().json for actor in actors]

    outcomes = {words.split()[1] for done in ended for words in done}
    assert outcomes <= ALLOWED, ended
    assert sum(count for done in ended for words, count in done.items() if words.endswith("ok")) > 5, ended
    assert len(sizes) > 5
    assert max(sizes) <= LIMIT
    assert faults == []
    finish(shelf)
    for name in NAMES:
        assert tree(shelf.path(name)) == files(name)
    assert [escaping_links(base) for base in (home.primary, home.secondary)] == [[], []]
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def finish(shelf: Shelf) -> None:
    """Run the jobs that the processes left queued."""
    recover_dead_owners(shelf.services.registry)
    for job in shelf.services.registry.jobs(state=UNFINISHED):
        if job.kind != "delete_old_copy":
            with contextlib.suppress(Exception):
                shelf.services.runner.finish(job)
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
    assert shelf.services.registry.jobs(state=UNFINISHED) == []
