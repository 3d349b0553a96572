"""Real file systems on a loop device."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MAKE = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "ext4 with inline data": ["mkfs.ext4", "-q", "-F", "-O", "inline_data"],
    "btrfs": ["mkfs.btrfs", "-q"],
}
SIZE_BYTES = 400 * 2**20
"""The smallest size that `mkfs.xfs` accepts is 300 MiB; the image is sparse."""


@contextlib.contextmanager
def loop_disk(folder: Path, kind: str) -> Iterator[Path]:
    """Mount a new file system inside the context; skip the test where that isn't possible.

    A process with its own mount namespace, which another test may have started meanwhile, keeps the disk mounted while
    it lives. So the mount point goes at the end, and the disk itself once nobody uses it.
    """
    if os.geteuid() != 0:
        pytest.skip("mounting a loop device needs root")
    if shutil.which(MAKE[kind][0]) is None:
        pytest.skip(f"{MAKE[kind][0]} is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    image, mounted = folder / f"{kind}.img", folder / kind.replace(" ", "-")
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    subprocess.run([*MAKE[kind], str(image)], check=True, capture_output=True)
    mounted.mkdir()
    done = subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], capture_output=True, text=True)
    if done.returncode != 0:
        image.unlink()
        pytest.skip(f"{kind} cannot be mounted here: {done.stderr.strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)
        image.unlink()
