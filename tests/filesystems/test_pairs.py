"""A model moves between any two file systems, and takes no bytes where they can be shared."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pytest

from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.disks import escaping_links, files_of
from tests.fakes.hub import FakeHub
from tests.filesystems.conftest import DISKS
from tests.invariants import violations
from tests.world import MIB, Home, load_offline, random_bytes, tree

REPO = "org/name"
FILES = {
    "config.json": b"{}",
    "deep/er/w.bin": random_bytes(40_000),
    "model.safetensors": random_bytes(16 * MIB + 5),
}
TOTAL = sum(map(len, FILES.values()))
SHARING = {("ext4", "ext4 too"): "link", ("xfs", "xfs too"): "link", ("btrfs", "btrfs too"): "reflink"}
"""Pairs on one file system that can share bytes; a bind mount is one too, and can't."""


@pytest.fixture
def bases(disks: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """This test's own base on every disk."""
    return {name: path / tmp_path.name / name.replace(" ", "-") for name, path in disks.items()}


def free_bytes(path: Path) -> int:
    """Return a file system's free bytes once everything is written."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.sync()
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize


@pytest.mark.parametrize("pair", list(combinations(DISKS, 2)), ids=" and ".join)
def test_there_and_back(hub: FakeHub, home: Home, shelf: Shelf, bases: dict[str, Path], pair: tuple[str, str]) -> None:
    """After a move there and back the model is whole and nothing is left, by the method of these file systems."""
    one, other = (bases[name] for name in pair)
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "custom", str(one))

    plan = shelf.services.mover.plan("m", "custom", str(other), keep_source=False)
    shelf.move("m", "custom", str(other))

    assert plan.method == SHARING.get(pair, "copy")
    assert (tree(shelf.path("m")), files_of(one)) == (FILES, [])
    assert (escaping_links(one), escaping_links(other)) == ([], [])
    assert violations(shelf) == []
    shelf.move("m", "custom", str(one))
    assert (tree(shelf.path("m")), files_of(other)) == (FILES, [])
    assert violations(shelf) == []


@pytest.mark.parametrize("pair", list(SHARING), ids=" and ".join)
def test_sharing_takes_no_bytes(
    hub: FakeHub, home: Home, shelf: Shelf, bases: dict[str, Path], pair: tuple[str, str]
) -> None:
    """With both copies on it, the disk has as many free bytes as with one."""
    one, other = (bases[name] for name in pair)
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "custom", str(one))
    before = free_bytes(one)

    shelf.move("m", "custom", str(other), keep_source=True)

    assert before - free_bytes(one) < TOTAL // 8
    assert (tree(shelf.path("m")), tree(load_offline(home, one, REPO))) == (FILES, FILES)


def test_a_bind_mount_is_another_disk_with_the_same_number(bases: dict[str, Path]) -> None:
    """A bind mount has the same device number and refuses links, so only trying tells."""
    one, bound = bases["ext4"], bases["ext4 bound"]
    for base in (one, bound):
        base.mkdir(parents=True)
    (one / "file").write_bytes(b"x")

    assert one.stat().st_dev == bound.stat().st_dev
    with pytest.raises(OSError, match=r"cross-device"):
        os.link(one / "file", bound / "file")


def test_a_blob_of_the_shared_store_is_shared_as_well(
    hub: FakeHub, home: Home, shelf: Shelf, bases: dict[str, Path]
) -> None:
    """On a file system with reflinks a shared payload's extents become a file on the target."""
    one, other = bases["btrfs"], bases["btrfs too"]
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "custom", str(one))
    blobs = Base(one).repo(REPO).blobs
    before = {path.name: path.stat().st_ino for path in blobs.iterdir()}

    shelf.move("m", "custom", str(other))

    arrived = {path.name: path for path in Base(other).repo(REPO).blobs.iterdir()}
    assert arrived.keys() == before.keys()
    assert all(path.is_file() and not path.is_symlink() for path in arrived.values())
