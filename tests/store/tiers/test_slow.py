"""Which disks are slow, from a folder like the kernel's `/sys/dev/block`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.store.tiers.slow import slow_disk_of


def kernel(folder: Path, number: int, *, rotational: str = "1", maker: str = "ATA", name: str = "sda") -> Path:
    """Return a folder of block devices with a partition, which is the device of `folder`, on a disk `number`."""
    devices, disk = folder / f"block-{name}-{number}", folder / f"devices-{number}" / name
    (disk / "queue").mkdir(parents=True)
    (disk / "device").mkdir()
    (disk / "slaves").mkdir()
    (disk / "queue/rotational").write_text(rotational + "\n")
    (disk / "device/vendor").write_text(maker + "\n")
    (disk / "dev").write_text(f"8:{number}\n")
    partition = disk / f"{name}1"
    partition.mkdir()
    (partition / "partition").write_text("1\n")
    link(devices, partition, folder)
    return devices


def link(devices: Path, to: Path, folder: Path) -> None:
    """Make something the device of `folder`."""
    devices.mkdir()
    device = folder.stat().st_dev
    (devices / f"{os.major(device)}:{os.minor(device)}").symlink_to(to)


def test_partitions_of_one_rotating_disk_are_one(tmp_path: Path) -> None:
    """A base on a partition of a disk that turns is on that disk, and a base that isn't there yet too."""
    found = slow_disk_of(tmp_path / "base", kernel(tmp_path, 16))

    assert found.endswith(":8:16")
    assert found == slow_disk_of(tmp_path, tmp_path / "block-sda-16")


@pytest.mark.parametrize(
    "facts",
    [{"rotational": "0"}, {"maker": "QEMU"}, {"name": "vda"}, {"rotational": ""}],
    ids=["ssd", "virtual machine", "virtio", "unknown"],
)
def test_other_disks_are_not_slow(tmp_path: Path, facts: dict[str, str]) -> None:
    """A disk without a moving head isn't slow, nor one of which nobody knows."""
    assert slow_disk_of(tmp_path, kernel(tmp_path, 0, **facts)) == ""


def test_an_encrypted_disk_is_the_disk_below(tmp_path: Path) -> None:
    """A device that is mapped to one partition is that partition's disk; one over two disks is itself, and not slow."""
    kernel(tmp_path, 32)
    partition = tmp_path / "devices-32/sda/sda1"
    mapped = tmp_path / "virtual/dm-0"
    (mapped / "slaves").mkdir(parents=True)
    (mapped / "slaves/sda1").symlink_to(partition)
    link(tmp_path / "mapped", mapped, tmp_path)
    raid = tmp_path / "virtual/md0"
    (raid / "slaves").mkdir(parents=True)
    (raid / "slaves/a").symlink_to(partition)
    (raid / "slaves/b").symlink_to(partition.parent)
    link(tmp_path / "raid", raid, tmp_path)

    assert slow_disk_of(tmp_path, tmp_path / "mapped").endswith(":8:32")
    assert slow_disk_of(tmp_path, tmp_path / "raid") == ""


def test_what_the_kernel_does_not_know_is_not_slow(tmp_path: Path) -> None:
    """A system without such a folder, or a base whose device isn't in it, has no slow disk."""
    (tmp_path / "none").mkdir()

    assert slow_disk_of(tmp_path, tmp_path / "none") == slow_disk_of(tmp_path, tmp_path / "nothing") == ""
    assert slow_disk_of(Path("/proc/self")) == ""
    assert slow_disk_of(Path("/proc/self"), table="1 1 0:5 / / rw - btrfs /dev/nowhere rw\n") == ""
