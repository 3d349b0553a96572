"""Which disks are slower with two writers than with one."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from modelshelf.domain.disks import is_slow
from modelshelf.store.layout import Base
from modelshelf.store.mounts import mount_of
from modelshelf.store.probe import is_folder, is_there
from modelshelf.store.tiers.marker import nearest_folder

_BLOCK_DEVICES = Path("/sys/dev/block")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def slow_disk_of(base: Path, devices: Path = _BLOCK_DEVICES, table: str | None = None) -> str:
    """Return a text that identifies the slow disk of a base, the same for all its partitions; empty if it isn't slow.

    What isn't known isn't slow: network mounts, several disks as one, virtual machines' disks, other systems.

    Args:
        base: The base.
        devices: The kernel's folder of block devices, by number.
        table: The text of a mount table; by default this process's.
    """
    try:
        return _of_device(_device(nearest_folder(Base(base)), table), devices)
    except OSError:
        return ""


def _device(folder: Path, table: str | None) -> int:
    """Return the number of the block device below a folder; that of btrfs is in the mount table alone."""
    device = folder.stat().st_dev
    source = "" if os.major(device) else mount_of(folder, table).source
    return Path(source).stat().st_rdev if source.startswith("/dev/") else device


@functools.lru_cache(maxsize=64)
def _of_device(device: int, devices: Path) -> str:
    folder = devices / f"{os.major(device)}:{os.minor(device)}"
    if not is_folder(folder):
        return ""
    disk = _whole(folder.resolve())
    made_by = " ".join(map(_said, (disk / "device/vendor", disk / "device/model")))
    rotational = _said(disk / "queue/rotational") == "1"
    return f"{_said(_BOOT)}:{_said(disk / 'dev')}" if is_slow(disk.name, made_by, rotational=rotational) else ""


def _whole(disk: Path) -> Path:
    """Return the disk of a partition or of what is mapped to one disk, such as an encrypted one."""
    while True:
        below = list((disk / "slaves").iterdir()) if is_folder(disk / "slaves") else []
        if is_there(disk / "partition"):
            disk = disk.parent
        elif len(below) == 1:
            disk = below[0].resolve()
        else:
            return disk


def _said(path: Path) -> str:
    """Return what the kernel says in a file; empty if it says nothing."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
