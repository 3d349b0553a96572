"""A power cut at any instant: the disk's state of that instant is mounted, and nothing is lost or taken for whole.

The disk is an ext4 image on xfs. A clone of the image (FICLONE) is what the device held at that instant, without what
a process had written and not synced.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from modelshelf.domain.jobs import JobKind
from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.store.layout import Base
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.store.loops import MAKE, loop_disk
from tests.world import Child, Home, random_bytes, tree, wait_until

CUTS = int(os.environ.get("SHELF_CRASHES", "2"))
REPO = "org/name"
FILES = {
    "config.json": b"{}",
    "deep/er/w.bin": random_bytes(40_000),
    "model.safetensors": random_bytes(3 * SEGMENT_BYTES + 5),
}


def _unmounted(path: str) -> bool:
    return subprocess.run(["umount", path]).returncode == 0


class Disk:
    """A disk whose power can be cut."""

    def __init__(self, image: Path, mounted: Path) -> None:
        self.image = image
        self.mounted = mounted
        self.slow = mounted / "user" / "slow"
        """A mount of its own, so that models are copied and not linked."""

    def plug_in(self) -> None:
        """Mount the disk."""
        self.mounted.mkdir(exist_ok=True)
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.mounted)], check=True)
        self.slow.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(self.slow), str(self.slow)], check=True)

    def unplug(self) -> None:
        """Unmount the disk, whoever was killed while using it."""
        for path in map(str, (self.slow, self.mounted)):
            wait_until(partial(_unmounted, path), f"umount {path}")

    def cut(self, child: Child) -> None:
        """Cut the power while a process works, and restart with what the disk held by then."""
        held = self.image.with_suffix(".held")
        subprocess.run(["cp", "--reflink=always", str(self.image), str(held)], check=True)
        child.kill()
        self.unplug()
        held.replace(self.image)
        self.plug_in()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """An ext4 disk on xfs."""
    with loop_disk(tmp_path / "below", "xfs") as below:
        image = below / "disk.img"
        with image.open("wb") as file:
            file.truncate(300 * 2**20)
        subprocess.run([*MAKE["ext4"], str(image)], check=True, capture_output=True)
        disk = Disk(image, tmp_path / "disk")
        disk.plug_in()
        try:
            yield disk
        finally:
            disk.unplug()


@pytest.fixture
def home(disk: Disk, hub: FakeHub) -> Home:
    """A home whose tiers, registry and list of bases are all on that disk."""
    hub.add_repo(REPO, FILES)
    return Home(disk.mounted / "user", hub.url)


@pytest.mark.parametrize("seed", range(CUTS))
def test_a_pull_survives_a_power_cut(disk: Disk, home: Home, seed: int) -> None:
    """After a power cut no incomplete model counts as whole, and the next pull completes it."""
    home.run("add", "m", REPO, "--no-download").checked()
    child = home.start("pull", "m", SHELF_DOWNLOAD_LIMIT="40 MB")
    time.sleep(Random(seed).uniform(0.4, 2.0))

    disk.cut(child)

    with home.open() as shelf:
        assert violations(shelf) == []
        shelf.pull("m")
        assert tree(shelf.path("m")) == FILES
        assert violations(shelf) == []


@pytest.mark.parametrize("seed", range(CUTS))
def test_a_move_survives_a_power_cut(disk: Disk, home: Home, seed: int) -> None:
    """After a power cut the model is whole on one tier, and the next move finishes."""
    home.run("add", "m", REPO).checked()
    child = home.start("move", "m", "secondary")
    wait_until(lambda: child.process.poll() is not None or _has_begun(home), "the copy")
    time.sleep(Random(seed).uniform(0, 0.25))

    disk.cut(child)

    with home.open() as shelf:
        assert tree(shelf.path("m")) == FILES
        assert violations(shelf) == []
        if shelf.model("m").base == str(home.primary):
            shelf.move("m", "secondary")
        shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
        assert tree(shelf.path("m")) == FILES
        assert violations(shelf) == []


def _has_begun(home: Home) -> bool:
    return list(Base(home.secondary).incoming.glob("*")) != []
