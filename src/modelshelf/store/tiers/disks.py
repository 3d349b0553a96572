"""The disks that a person may put models on, and how fast they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

from modelshelf.domain.disks import Mount
from modelshelf.domain.setup import Disk, Speed
from modelshelf.errors import ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.mounts import mount_of, mounts
from modelshelf.store.probe import is_folder, is_there
from modelshelf.store.tiers import meter

_REAL = frozenset(
    "ext2 ext3 ext4 xfs btrfs zfs f2fs jfs bcachefs ntfs ntfs3 fuseblk exfat vfat hfsplus drvfs nfs nfs4 cifs smb3"
    " fuse.sshfs virtiofs 9p ceph overlay fuse.fuse-overlayfs".split()
)
"""File systems that keep what is written; the others are memory, or not real file systems."""
_NOT_FOR_MODELS = ("/boot", "/snap", "/var/lib/docker", "/var/lib/containers", "/run", "/etc", "/dev", "/proc", "/sys")
FOLDER = "llm-models-cache"
"""The name of a base on a disk of its own."""
PROBE_BYTES = 64 * 2**20
_BLOCK_BYTES = 2**20
_NEEDED = 8
"""A disk with less free space than so many probes isn't measured."""


def list_disks(usual: Path, home: Path, table: str | None = None) -> list[Disk]:
    """Return the file systems that this process may write models to, each once, by mount point.

    Args:
        usual: The base that Hugging Face programs use by default, which is proposed on its disk.
        home: The user's home, below which a base is proposed where that disk is another one.
        table: The text of a mount table; by default this process's.
    """
    theirs, own = mount_of(usual, table), mount_of(home, table)
    bases = {own: home / FOLDER} | {theirs: usual}
    found: dict[tuple[str, str], Disk] = {}
    for mount in sorted(mounts(table), key=lambda mount: (mount != theirs, mount != own, len(mount.point))):
        disk = _disk(mount, bases.get(mount, Path(mount.point) / FOLDER), table, is_home=mount == theirs)
        one = (mount.kind, mount.source.partition("/")[0] if mount.kind == "zfs" else mount.source)
        if disk is not None:
            found.setdefault(one, disk)
    return sorted(found.values(), key=lambda disk: disk.point)


def _disk(mount: Mount, base: Path, table: str | None, *, is_home: bool) -> Disk | None:
    """Return what a mount offers for a base on it; None if this user can't keep models there."""
    point = Path(mount.point)
    if mount.kind not in _REAL or mount.read_only or _is_for_others(point):
        return None
    is_usable = mount_of(point, table) == mount and is_folder(point) and is_writable(base)
    space = _space(point) if is_usable else None
    if space is None:
        return None
    held = meter.measure(Base(base)).apparent_bytes if is_folder(base) else 0
    return Disk(
        point=mount.point,
        kind=mount.kind,
        base=str(base),
        size_bytes=space.f_blocks * space.f_frsize,
        free_bytes=space.f_bavail * space.f_frsize,
        held_bytes=held,
        is_home=is_home,
        is_network=mount.is_network,
        vanishes=mount.is_container_layer,
    )


def _is_for_others(point: Path) -> bool:
    return any(point.is_relative_to(folder) for folder in _NOT_FOR_MODELS)


def nearest(path: Path) -> Path:
    """Return a path, or the deepest one above it that exists."""
    while not is_there(path) and path != path.parent:
        path = path.parent
    return path


def _space(point: Path) -> os.statvfs_result | None:
    """Return the space of a file system; None if its server is gone, which a cached folder doesn't show."""
    try:
        return os.statvfs(point)
    except OSError:
        return None


def size_bytes(base: Path) -> int | None:
    """Return the size of a base's disk; None if unknown."""
    space = _space(nearest(base))
    return None if space is None else space.f_blocks * space.f_frsize


def is_writable(base: Path) -> bool:
    """Return whether this process may write in a base, or create it."""
    found = nearest(base)
    return is_folder(found) and os.access(found, os.W_OK | os.X_OK)


def measure(base: Path, size_bytes: int = PROBE_BYTES) -> Speed | None:
    """Return how fast a base's disk writes and reads one file, which is deleted afterwards.

    None if the disk is nearly full or refuses.
    """
    folder = nearest(Base(base).own)
    block = memoryview(os.urandom(_BLOCK_BYTES))  # compressible data would measure the processor
    try:
        space = os.statvfs(folder)
        if space.f_bavail * space.f_frsize < _NEEDED * size_bytes:
            return None
        with fs.scratch_file(folder, folder) as fd:
            started_s = time.perf_counter()
            for offset in range(0, size_bytes, _BLOCK_BYTES):
                fs.write_at(fd, block, offset, folder)
            fs.flush(fd, folder)
            written_s = time.perf_counter()
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            reading_s = time.perf_counter()
            for offset in range(0, size_bytes, _BLOCK_BYTES):
                os.pread(fd, _BLOCK_BYTES, offset)
            read_s = time.perf_counter()
    except (OSError, ShelfError):
        return None
    return Speed(int(size_bytes / (written_s - started_s)), int(size_bytes / (read_s - reading_s)))
