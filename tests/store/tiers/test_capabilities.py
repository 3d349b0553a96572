"""What a base's file system can do, probed once."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from modelshelf.domain.disks import FAT_FILE_BYTES, Capabilities
from modelshelf.errors import OutOfSpace
from modelshelf.store.blobs import link_or_clone
from modelshelf.store.layout import Base
from modelshelf.store.tiers import capabilities, marker
from tests.builders import put
from tests.store.fuse import fuse_disk, share
from tests.store.loops import loop_disk
from tests.store.mounts import small_disk


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


def base(path: Path) -> Base:
    """Return a base with its marker."""
    marker.reset_marker(Base(path))
    return Base(path)


def probed(ours: Base) -> Capabilities:
    """Return what the file system of a base can do, after a probe."""
    capabilities.probe(ours)
    return capabilities.of(ours)


def test_an_ordinary_disk_is_tried_once(tmp_path: Path) -> None:
    """A disk is probed once; the result is beside the marker, and the next call uses it."""
    ours = base(tmp_path)

    found = probed(ours)
    ours.capabilities.write_text(ours.capabilities.read_text().replace("true", "false"))

    assert (found.symlinks, found.hardlinks, found.case_sensitive, found.any_names, found.locks) == (True,) * 5
    assert (found.max_file_bytes, found.network) == (None, False)
    assert sorted(path.name for path in ours.own.iterdir()) == ["capabilities.json", "tier.json"]
    again = probed(ours)
    tried = (again.symlinks, again.hardlinks, again.reflinks, again.case_sensitive, again.any_names, again.locks)
    assert not any(tried)


@pytest.mark.parametrize("kept", ["", "[]", '{"format": 99}', '{"format": 1}'])
def test_an_answer_that_cannot_be_read_is_asked_again(tmp_path: Path, kept: str) -> None:
    """A torn result, or one of another release, is probed again."""
    ours = base(tmp_path)
    put(ours.capabilities, kept.encode())

    assert probed(ours).symlinks
    assert json.loads(ours.capabilities.read_text())["format"] == 1


def test_an_empty_mount_point_is_not_written(tmp_path: Path) -> None:
    """Without a marker nothing is probed, and an ordinary disk is assumed."""
    assert capabilities.of(Base(tmp_path)).symlinks
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_cannot_be_written_is_taken_for_a_usual_one(tmp_path: Path) -> None:
    """A full disk can't be probed and counts as ordinary; the next call tries again."""
    with small_disk(tmp_path / "disk", 65536) as disk:
        ours = base(disk)
        fill(disk / "filler")

        assert probed(ours).symlinks
        assert not ours.capabilities.exists()
        with pytest.raises(OutOfSpace):
            link_or_clone.probe_links(ours.path, ours.own)


def test_in_a_folder_that_is_not_ours_nothing_is_tried(tmp_path: Path) -> None:
    """A folder that isn't a base yet isn't probed; a plan for it goes by the kind of its file system."""
    with small_disk(tmp_path / "disk", 2**20) as disk:
        before = disk.stat().st_mtime_ns

        assert not capabilities.of(Base(disk / "new")).reflinks
        assert capabilities.of(Base(disk / "new")).case_sensitive
        assert (list(disk.iterdir()), disk.stat().st_mtime_ns) == ([], before)


def test_a_disk_without_names_left_is_full(tmp_path: Path) -> None:
    """A probe without free inodes raises OutOfSpace instead of saying that links don't work."""
    with small_disk(tmp_path / "disk", 65536, "nr_inodes=4") as disk:
        ours = base(disk)

        with pytest.raises(OutOfSpace):
            link_or_clone.probe_links(ours.path, ours.own)
        assert probed(ours).symlinks


def test_what_may_not_be_read_is_not_shared(tmp_path: Path) -> None:
    """A file that can't be read can't be shared, and the probe raises nothing."""
    unreadable = Path("/proc/sys/vm/drop_caches")  # write-only, also for root
    if not unreadable.exists():
        pytest.skip("there is no file that root may not read")

    assert link_or_clone.share(tmp_path, unreadable, tmp_path / "target") == ""


def test_a_disk_with_reflinks_is_known(tmp_path: Path) -> None:
    """xfs and btrfs have reflinks."""
    with loop_disk(tmp_path, "xfs") as disk:
        found = probed(base(disk))
        assert (found.symlinks, found.hardlinks, found.reflinks, found.file_system) == (True, True, True, "xfs")


def test_what_was_found_out_elsewhere_is_asked_again(tmp_path: Path) -> None:
    """A result that was copied from another disk with its base is probed again."""
    ours = base(tmp_path)
    put(ours.capabilities, b'{"format": 1, "file_system": "exfat", "symlinks": false, "hardlinks": false}')

    assert probed(ours).symlinks


def test_what_an_earlier_version_tried_is_believed(tmp_path: Path) -> None:
    """A result of an earlier version is completed by probing only what it lacks."""
    ours = base(tmp_path)
    put(ours.capabilities, b'{"format": 1, "symlinks": false, "hardlinks": true, "reflinks": false}')

    found = probed(ours)

    assert (found.symlinks, found.case_sensitive, found.locks) == (False, True, True)
    assert json.loads(ours.capabilities.read_text())["locks"] is True


def test_fat_has_small_files_and_no_links(tmp_path: Path) -> None:
    """A real FAT32 has no links, one case, no colons, and files below 4 GiB."""
    with fuse_disk(tmp_path, "FAT32") as disk:
        found = probed(base(disk))

        assert (found.symlinks, found.hardlinks, found.case_sensitive, found.any_names) == (False,) * 4
        assert (found.max_file_bytes, found.file_system) == (FAT_FILE_BYTES, "fuse.fusefat")
        assert len(found.weaknesses) == 5
        assert sorted(path.name for path in Base(disk).own.iterdir()) == ["capabilities.json", "tier.json"]


def test_exfat_has_large_files_and_no_links(tmp_path: Path) -> None:
    """A real exFAT has no links, one case, and no limit that a model's file could reach."""
    with fuse_disk(tmp_path, "exFAT") as disk:
        found = probed(base(disk))

        assert (found.symlinks, found.hardlinks, found.case_sensitive, found.any_names) == (False,) * 4
        assert found.max_file_bytes is None


def test_ntfs_under_linux_has_links(tmp_path: Path) -> None:
    """A real NTFS through ntfs-3g has symbolic links, hard links and any name."""
    with fuse_disk(tmp_path, "NTFS") as disk:
        found = probed(base(disk))

        assert (found.symlinks, found.hardlinks, found.case_sensitive, found.any_names) == (True,) * 4


def test_a_share_is_known_by_its_mount(tmp_path: Path) -> None:
    """A mount that the table calls sshfs is a network mount, whatever it can do."""
    with share(tmp_path) as mounted:
        found = probed(base(mounted.path / "base"))

        assert (found.network, found.symlinks, found.file_system) == (True, True, "fuse.sshfs")
        assert any("network" in weakness for weakness in found.weaknesses)
