"""The disks: two folders each of ext4 and xfs, two subvolumes of btrfs, tmpfs, and a bind mount of ext4."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.loops import loop_disk
from tests.store.mounts import small_disk

DISKS = ("ext4", "ext4 too", "ext4 bound", "xfs", "xfs too", "btrfs", "btrfs too", "tmpfs")
MEMORY_BYTES = 200 * 2**20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need mounts unless SHELF_FILESYSTEMS asks for them."""
    if not os.environ.get("SHELF_FILESYSTEMS"):
        asked = pytest.mark.skip(reason="make test-filesystems runs this, as root")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(asked)


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Every disk by name, as a folder for a base."""
    folder = tmp_path_factory.mktemp("disks")
    with contextlib.ExitStack() as held:
        ext4, xfs, btrfs = (held.enter_context(loop_disk(folder, kind)) for kind in ("ext4", "xfs", "btrfs"))
        memory = held.enter_context(small_disk(folder / "tmpfs", MEMORY_BYTES))
        for name in ("one", "two"):
            subprocess.run(["btrfs", "subvolume", "create", str(btrfs / name)], check=True, capture_output=True)
        bound = folder / "bound"
        for path in (ext4 / "one", ext4 / "two", xfs / "one", xfs / "two", bound):
            path.mkdir()
        subprocess.run(["mount", "--bind", str(ext4 / "one"), str(bound)], check=True)
        held.callback(subprocess.run, ["umount", str(bound)], check=True)
        paths = (ext4 / "one", ext4 / "two", bound, xfs / "one", xfs / "two", btrfs / "one", btrfs / "two", memory)
        yield dict(zip(DISKS, paths, strict=True))
