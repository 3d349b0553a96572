"""Imperfect file systems, for real: FAT, exFAT and NTFS images, and a folder that looks like a network mount."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

IMAGE_BYTES = 100 * 2**20


@dataclass(frozen=True)
class Kind:
    """How a file system is made and mounted."""

    make: tuple[str, ...]
    mount: tuple[str, ...]


KINDS = {
    "FAT32": Kind(("mkfs.vfat", "-F", "32"), ("fusefat", "-o", "rw+,subtype=fusefat")),
    "exFAT": Kind(("mkfs.exfat",), ("mount.exfat-fuse",)),
    "NTFS": Kind(("mkfs.ntfs", "-F", "-Q"), ("ntfs-3g",)),
}


def _need(*programs: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    missing = [program for program in programs if shutil.which(program) is None]
    if missing or not Path("/dev/fuse").exists():
        pytest.skip(f"this needs /dev/fuse and {', '.join(programs)}")


@contextlib.contextmanager
def _mounted(command: list[str], point: Path) -> Iterator[Path]:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not point.is_mount():
        pytest.skip(f"{command[0]} mounts nothing here: {done.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


@contextlib.contextmanager
def fuse_disk(folder: Path, kind: str) -> Iterator[Path]:
    """Mount a new image of this kind; skip the test where that isn't possible."""
    how = KINDS[kind]
    _need(how.make[0], how.mount[0])
    folder.mkdir(parents=True, exist_ok=True)
    image, point = folder / f"{kind}.img", folder / kind
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run([*how.make, str(image)], check=True, capture_output=True)
    with contextlib.ExitStack() as held:
        device = str(image)
        if kind == "exFAT":  # takes a device, not an image
            loop = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True)
            if loop.returncode:
                pytest.skip(f"no loop device: {loop.stderr.strip()}")
            device = loop.stdout.strip()
            held.callback(subprocess.run, ["losetup", "--detach", device], check=True)
        yield held.enter_context(_mounted([*how.mount, device, str(point)], point))


@dataclass(frozen=True)
class Share:
    """A folder behind a FUSE server, which the mount table shows as a network mount."""

    path: Path
    pid: int
    """The server's pid."""


@contextlib.contextmanager
def share(folder: Path, *options: str) -> Iterator[Share]:
    """Mount a folder as `fuse.sshfs`: every file operation is real and goes through our own server."""
    _need("bindfs")
    behind, point = folder / "behind", folder / "share"
    for path in (behind, point):
        path.mkdir(parents=True)
    server = subprocess.Popen(
        ["bindfs", "-f", "-o", ",".join(["subtype=sshfs", *options]), str(behind), str(point)],
        stderr=subprocess.DEVNULL,
    )
    from tests.world import wait_until

    wait_until(lambda: point.is_mount() or server.poll() is not None, "the share")
    if not point.is_mount():
        pytest.skip("bindfs mounts nothing here")
    try:
        yield Share(point, server.pid)
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)
        server.kill()
        server.wait()
