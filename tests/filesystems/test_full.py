"""A target fills up at any write: a clear error, the source whole, and a way on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.jobs import JobKind
from modelshelf.errors import OutOfSpace
from modelshelf.services.shelf import Shelf
from tests.disks import FarHome, Hooked, files_of, move_with
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.store.mounts import small_disk
from tests.world import MIB, random_bytes, tree

REPO = "org/name"
FILES = {
    "config.json": b"{}",
    "deep/er/w.bin": random_bytes(40_000),
    "model.safetensors": random_bytes(8 * MIB + 5),
}
TOTAL = sum(map(len, FILES.values()))
PAGE = 4096


@pytest.fixture
def home(tmp_path: Path, hub: FakeHub) -> Iterator[FarHome]:
    """A home whose secondary is a small disk."""
    with small_disk(tmp_path / "disk", 2 * TOTAL) as disk:
        yield FarHome(tmp_path / "user", hub.url, far=disk)


def resize(home: FarHome, size_bytes: int, inodes: int = 100_000) -> None:
    """Resize the small disk."""
    options = f"remount,size={size_bytes},nr_inodes={inodes}"
    subprocess.run(["mount", "-o", options, str(home.far)], check=True)


def check_on_the_primary(home: FarHome, shelf: Shelf) -> None:
    """Assert that the model is where it was, whole."""
    assert (shelf.model("m").base, tree(shelf.path("m"))) == (str(home.primary), FILES)
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


@pytest.mark.parametrize("pages", range(-2, 16), ids=lambda n: f"{n} pages more")
def test_a_disk_that_is_just_too_small(hub: FakeHub, home: FarHome, shelf: Shelf, pages: int) -> None:
    """If others take the reserved room and a blob, a link or a sidecar doesn't fit, the model stays."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    smaller = Hooked(lambda: resize(home, (TOTAL // PAGE + 3 + pages) * PAGE), at="phase")

    try:
        move_with(shelf, smaller, "m", "secondary")
    except OutOfSpace:
        check_on_the_primary(home, shelf)
        resize(home, 2 * TOTAL)
        shelf.move("m", "secondary")
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    assert (shelf.model("m").base, tree(shelf.path("m"))) == (str(home.secondary), FILES)
    assert files_of(home.primary) == []
    assert violations(shelf) == []


@pytest.mark.parametrize("inodes", range(7, 45, 2))
def test_a_disk_without_names_left(hub: FakeHub, home: FarHome, shelf: Shelf, inodes: int) -> None:
    """A file system without free inodes is full, whatever its free bytes."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)

    try:
        move_with(shelf, Hooked(lambda: resize(home, 2 * TOTAL, inodes), at="phase"), "m", "secondary")
    except OutOfSpace:
        check_on_the_primary(home, shelf)
        resize(home, 2 * TOTAL)
        shelf.move("m", "secondary")
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    assert (shelf.model("m").base, tree(shelf.path("m"))) == (str(home.secondary), FILES)
    assert files_of(home.primary) == []
    assert violations(shelf) == []


def test_a_disk_that_others_fill_meanwhile(hub: FakeHub, home: FarHome, shelf: Shelf) -> None:
    """If another program takes the reserved room in the middle of a blob, the move ends cleanly."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)

    with pytest.raises(OutOfSpace, match="disk is full"):
        move_with(shelf, Hooked(lambda: resize(home, 8 * MIB + 7 * PAGE)), "m", "secondary")

    check_on_the_primary(home, shelf)
    resize(home, 2 * TOTAL)
    shelf.move("m", "secondary")
    assert tree(shelf.path("m")) == FILES
    assert files_of(home.primary) == []
