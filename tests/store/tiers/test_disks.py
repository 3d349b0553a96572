"""Which of a machine's mounts may hold models, and how fast they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from modelshelf.store.tiers import disks
from tests.builders import put
from tests.store.users import acting_as
from tests.world import MIB


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folders that serve as mount points."""
    for name in ("home/me", "data", "data again", "boot", "memory", "nas", "ro", "hidden"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    return tmp_path


def table(root: Path) -> str:
    """Return a mount table of a machine with a bit of everything."""
    lines = [
        f"20 1 8:1 / {root} rw - ext4 /dev/sda1 rw",
        f"21 20 8:1 /srv {root}/home rw - ext4 /dev/sda1 rw",
        f"22 20 8:2 / {root}/data rw - xfs /dev/sdb1 rw",
        f"23 20 8:2 / {root}/data\\040again rw - xfs /dev/sdb1 rw",
        f"24 20 0:9 / {root}/memory rw - tmpfs tmpfs rw",
        f"25 20 0:8 / {root}/nas rw - nfs4 nas:/export rw",
        f"26 20 8:3 / {root}/ro ro - ext4 /dev/sdc1 ro",
        f"27 20 8:4 / {root}/file rw - ext4 /dev/sdd1 rw",
        f"28 20 8:5 / {root}/hidden rw - ext4 /dev/sde1 rw",
        f"29 20 0:7 / {root}/hidden rw - tmpfs tmpfs rw",
        f"30 20 8:6 / {root}/gone rw - ext4 /dev/sdf1 rw",
        "31 20 0:6 / /boot rw - ext4 /dev/sdg1 rw",
    ]
    return "\n".join(lines)


def test_each_disk_is_listed_once(root: Path) -> None:
    """Memory, read-only, hidden and boot mounts aren't disks for models; two mounts of one disk count once."""
    found = disks.list_disks(root / "home/me/.cache/huggingface", root / "home/me", table(root))

    assert [(Path(disk.point).name, disk.kind, disk.is_home, disk.is_network) for disk in found] == [
        ("data", "xfs", False, False),
        ("home", "ext4", True, False),
        ("nas", "nfs4", False, True),
    ]
    assert [disk.base for disk in found] == [
        f"{root}/data/llm-models-cache",
        f"{root}/home/me/.cache/huggingface",
        f"{root}/nas/llm-models-cache",
    ]


def test_the_disk_of_the_home_is_listed_where_the_cache_is_on_another(root: Path) -> None:
    """If ~/.cache/huggingface leads to another disk, a folder in the home is proposed on the home's own."""
    cache = root / "home/me/.cache/huggingface"
    cache.parent.mkdir(parents=True)
    cache.symlink_to(root / "data")

    found = {Path(disk.point).name: disk.base for disk in disks.list_disks(cache, root / "home/me", table(root))}

    assert (found["data"], found["home"]) == (str(cache), f"{root}/home/me/llm-models-cache")


def test_two_data_sets_of_one_pool_are_one_disk(root: Path) -> None:
    """File systems of one ZFS pool count as one disk, because they share its space."""
    lines = [f"2{i} 1 0:{i} / {root}/{name} rw - zfs tank/{name} rw" for i, name in enumerate(("data", "home"))]

    home = root / "home/me"
    assert [disk.point for disk in disks.list_disks(home, home, "\n".join(lines))] == [f"{root}/home"]


def test_the_numbers_are_those_of_the_system(root: Path) -> None:
    """Size and free space are what `df` tells an ordinary user, and the base's own bytes are known."""
    base = root / "data/llm-models-cache"
    base.mkdir()
    (base / "x").write_bytes(bytes(MIB))

    home = root / "home/me"
    found = next(disk for disk in disks.list_disks(home, home, table(root)) if disk.base == str(base))

    space = os.statvfs(root)
    assert found.size_bytes == space.f_blocks * space.f_frsize
    assert found.free_bytes == pytest.approx(space.f_bavail * space.f_frsize, rel=0.2)
    assert found.held_bytes >= MIB
    assert sorted(path.name for path in base.iterdir()) == ["x"]


def test_a_disk_is_measured_and_left_as_it_was(tmp_path: Path) -> None:
    """A probe gives a write and a read rate in the nearest existing folder, and leaves no file."""
    before = tmp_path.stat().st_ino, list(tmp_path.iterdir())

    speed = disks.measure(tmp_path / "not/there/yet", MIB)

    assert speed is not None
    assert min(speed.write_bytes_per_s, speed.read_bytes_per_s) > 0
    assert (tmp_path.stat().st_ino, list(tmp_path.iterdir())) == before


def test_a_disk_that_has_no_room_is_not_measured(tmp_path: Path) -> None:
    """A disk with too little space isn't measured."""
    space = os.statvfs(tmp_path)

    assert disks.measure(tmp_path, space.f_bavail * space.f_frsize // 4) is None


def test_a_disk_that_refuses_is_not_measured(root: Path) -> None:
    """A disk that can't be written has no rate and raises nothing."""
    assert disks.measure(root / "file", MIB) is None


@pytest.mark.parametrize(("path", "expected"), [("x/y", True), ("file", False), ("file/x", False)])
def test_a_base_can_be_made_below_folders_alone(root: Path, path: str, expected: bool) -> None:
    """No base can be created below a file or in its place."""
    assert disks.is_writable(root / path) is expected


def test_this_machine_has_a_disk_or_none_that_lasts() -> None:
    """Each disk that is listed on the test machine exists and is writable."""
    for disk in disks.list_disks(Path.home() / ".cache/huggingface", Path.home()):
        assert Path(disk.point).is_dir()
        assert disk.size_bytes >= disk.free_bytes
        assert disks.is_writable(Path(disk.base))


def test_a_disk_that_may_not_be_looked_at_is_no_disk(open_path: Path) -> None:
    """A mount point in a closed folder is skipped, and the other disks are listed."""
    closed, usable = put(open_path / "closed/usb/x", b"").parent, put(open_path / "data/x", b"").parent
    closed.parent.chmod(0o700)
    usable.chmod(0o777)
    lines = [f"2{i} 1 8:{i} / {point} rw - ext4 /dev/sd{i} rw" for i, point in enumerate((closed, usable))]

    with acting_as():
        found = disks.list_disks(open_path / "home", open_path / "home", "\n".join(lines))

    assert [disk.point for disk in found] == [str(usable)]


def test_a_file_system_that_does_not_answer_has_no_room(tmp_path: Path) -> None:
    """A file system that doesn't answer has no free space, and the list still works."""
    assert disks._space(tmp_path / "gone") is None


def test_the_size_of_a_disk_is_that_of_its_file_system(tmp_path: Path) -> None:
    """The size of a base that doesn't exist yet is that of the disk above it."""
    assert disks.size_bytes(tmp_path / "not/there") == shutil.disk_usage(tmp_path).total
