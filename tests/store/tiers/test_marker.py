"""A tier's marker tells a mounted base from an empty mount point."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from modelshelf.errors import BadInput, Denied, OutOfSpace, Unavailable
from modelshelf.store.known_bases import KnownBases
from modelshelf.store.layout import Base, known_bases_file
from modelshelf.store.tiers import marker
from tests.builders import put
from tests.store.mounts import small_disk


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A base that was never used."""
    return Base(tmp_path / "disk" / "base")


@pytest.fixture
def known(tmp_path: Path) -> KnownBases:
    """A user who hasn't used any base."""
    return KnownBases(tmp_path / "state")


def unmount(base: Base) -> None:
    """Leave the empty mount point of an unmounted drive."""
    base.path.rename(base.path.with_name("unmounted"))
    base.path.mkdir()


def test_on_first_use_a_base_is_made_and_marked(base: Base, known: KnownBases) -> None:
    """On first use a base is created and marked, and its id is remembered outside it."""
    tier_id = marker.open_tier(base, known, None)

    assert json.loads(base.marker.read_text()) == {"format": 1, "id": tier_id}
    assert marker.read_id(base) == tier_id
    assert known.load() == {str(base.path): tier_id}


def test_a_base_keeps_its_id(base: Base, known: KnownBases) -> None:
    """A base keeps its id, however often and by whomever it is opened."""
    tier_id = marker.open_tier(base, known, None)

    assert marker.open_tier(base, known, tier_id) == tier_id
    assert marker.open_tier(base, KnownBases(known.state_home.with_name("other")), None) == tier_id


def test_two_bases_have_two_ids(base: Base, known: KnownBases) -> None:
    """Two bases have different ids, and both are remembered."""
    other = Base(base.path.with_name("other"))

    ids = [marker.open_tier(each, known, None) for each in (base, other)]

    assert known.load() == {str(base.path): ids[0], str(other.path): ids[1]}
    assert ids[0] != ids[1]


@pytest.mark.parametrize("memory", ["registry", "state folder"])
def test_an_unmounted_base_is_offline_and_nothing_is_written(base: Base, known: KnownBases, memory: str) -> None:
    """An empty mount point of a known base is offline, and nothing is written to it."""
    tier_id = marker.open_tier(base, known, None)
    unmount(base)
    if memory == "registry":
        known_bases_file(known.state_home).unlink()

    with pytest.raises(Unavailable, match="is it mounted") as caught:
        marker.open_tier(base, known, tier_id if memory == "registry" else None)

    assert list(base.path.iterdir()) == []
    assert caught.value.hint.endswith(f"--reset-marker {base.path}")
    assert marker.why_offline(base, tier_id) == caught.value.detail


def test_another_drive_in_its_place_is_offline(base: Base, known: KnownBases) -> None:
    """If another drive is mounted in a base's place, the tier is offline."""
    tier_id = marker.open_tier(base, known, None)
    unmount(base)
    marker.reset_marker(base)

    with pytest.raises(Unavailable, match="another tier than before"):
        marker.open_tier(base, known, tier_id)


def test_a_base_that_nobody_knows_is_not_offline(base: Base) -> None:
    """A fresh base isn't offline, and neither is one that another machine marked."""
    assert marker.why_offline(base, None) == ""
    tier_id = marker.reset_marker(base)
    assert marker.why_offline(base, None) == ""
    assert marker.why_offline(base, tier_id) == ""


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"null"])
def test_a_marker_that_cannot_be_read_is_none(base: Base, content: bytes) -> None:
    """A torn marker gives no id."""
    put(base.marker, content)

    assert marker.read_id(base) is None


@pytest.mark.parametrize("memory", [b"", b"[1]", b"\xff", b"3"])
def test_a_memory_that_cannot_be_read_is_empty_and_is_written_anew(
    base: Base, known: KnownBases, memory: bytes
) -> None:
    """An unreadable list of known bases counts as empty and is rewritten."""
    put(known_bases_file(known.state_home), memory)

    assert known.load() == {}
    known.remember(base, "id")
    assert known.load() == {str(base.path): "id"}


def test_a_memory_that_is_up_to_date_is_not_written_again(base: Base, known: KnownBases) -> None:
    """Opening a tier that is remembered correctly writes nothing."""
    known.remember(base, "id")
    before = known_bases_file(known.state_home).stat().st_ino

    known.remember(base, "id")

    assert known_bases_file(known.state_home).stat().st_ino == before


def test_a_read_only_home_is_no_reason_to_stop(base: Base, tmp_path: Path) -> None:
    """A tier opens even if the home folder is read-only."""
    in_the_way = put(tmp_path / "file", b"")

    tier_id = marker.open_tier(base, KnownBases(in_the_way), None)

    assert marker.read_id(base) == tier_id


def test_a_base_that_cannot_be_written_is_refused(tmp_path: Path, known: KnownBases) -> None:
    """A base on a read-only disk is refused and not remembered."""
    with small_disk(tmp_path / "ro", 2**16, "ro") as disk:
        with pytest.raises(BadInput, match="cannot be written"):
            marker.open_tier(Base(disk / "base"), known, None)
        assert known.load() == {}


def test_a_base_inside_a_file_is_refused(tmp_path: Path, known: KnownBases) -> None:
    """A base inside a file is refused with the system's own reason."""
    in_the_way = put(tmp_path / "file", b"")

    with pytest.raises(BadInput, match="Not a directory"):
        marker.open_tier(Base(in_the_way / "base"), known, None)


def test_whether_a_base_could_be_made_is_told_without_making_it(tmp_path: Path) -> None:
    """Whether a base could be created is known without creating it, with the same error as creating it."""
    marker.check_creatable(Base(tmp_path / "new/base"))
    with pytest.raises(BadInput, match=r"new cannot be written: \S*/file isn't a folder"):
        marker.check_creatable(Base(put(tmp_path / "file", b"") / "new"))
    with small_disk(tmp_path / "ro", 2**16, "ro") as disk, pytest.raises(BadInput, match=r"/ro cannot be written"):
        marker.check_creatable(Base(disk / "base"))
    assert not (tmp_path / "new").exists()


def test_a_base_that_is_not_there_yet_lies_on_the_disk_above_it(base: Base, tmp_path: Path) -> None:
    """Before a base exists, free space and device are those of the folder above it, and nothing is created."""
    assert marker.device(base) == marker.device(Base(tmp_path)) == str(tmp_path.stat().st_dev)
    found = os.statvfs(tmp_path)
    assert marker.free_bytes(base) == pytest.approx(found.f_bavail * found.f_frsize, rel=0.05)
    assert marker.disk_bytes(base) == found.f_blocks * found.f_frsize
    assert not base.path.exists()


def test_a_mounted_disk_is_another_device(tmp_path: Path) -> None:
    """A mounted disk has its own device and free bytes."""
    with small_disk(tmp_path / "disk", 2**20) as disk:
        base = Base(disk / "base")

        assert marker.device(base) != marker.device(Base(tmp_path))
        assert 0 < marker.free_bytes(base) <= 2**20


def test_a_base_is_writable_until_one_of_its_folders_is_not(tmp_path: Path) -> None:
    """A base is writable unless it is mounted read-only or one of its folders has another owner."""
    with small_disk(tmp_path / "disk", 2**20) as disk:
        base = Base(disk)
        assert marker.is_writable(Base(disk / "new"))
        assert marker.is_writable(base)
        marker.reset_marker(base)
        base.hub.mkdir()
        assert marker.is_writable(base)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert not marker.is_writable(base)


def test_a_marker_that_cannot_be_read_is_written_anew(base: Base) -> None:
    """Resetting an unreadable marker gives the base a new id; a good one stays."""
    put(base.marker, bytes(40))

    tier_id = marker.reset_marker(base)

    assert marker.read_id(base) == tier_id
    assert marker.reset_marker(base) == tier_id
    assert marker.give_new_id(base) != tier_id


def test_a_base_that_was_used_is_offline_though_nobody_remembers_its_id(base: Base) -> None:
    """A base with a registered complete model and no marker is offline, even if nobody remembers its id."""
    assert "is it mounted?" in marker.why_offline(base, "")
    marker.reset_marker(base)
    assert marker.why_offline(base, "") == ""


@pytest.mark.parametrize("which", ["hub", "modelshelf", "hub/.locks", "modelshelf/incoming", "modelshelf/registry.db"])
def test_a_base_whose_own_folder_is_a_link_is_not_opened(base: Base, known: KnownBases, which: str) -> None:
    """If a base's `modelshelf` folder is a link, the tier is offline, and the error names the link and the way out."""
    elsewhere = base.path.with_name("elsewhere")
    elsewhere.mkdir(parents=True)
    link = base.path / which
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)

    for look in (lambda: marker.open_tier(base, known, None), lambda: marker.check_creatable(base)):
        with pytest.raises(Denied, match="is a link to") as caught:
            look()
        assert str(elsewhere) in caught.value.hint

    assert str(link) in marker.why_offline(base, None)
    assert list(elsewhere.iterdir()) == []


def test_what_a_killed_process_tried_does_not_close_a_base(base: Base, known: KnownBases) -> None:
    """A leftover test link of a killed probe doesn't make the base offline."""
    tier_id = marker.open_tier(base, known, None)
    (base.own / ".probe.0a1b2c3d.shelf-tmp").symlink_to("nowhere")

    assert marker.open_tier(base, known, None) == tier_id


def test_a_base_on_two_file_systems_is_not_opened(base: Base, known: KnownBases) -> None:
    """A base whose `hub` is on another file system isn't opened, because publishing renames into `hub`."""
    marker.open_tier(base, known, None)
    with small_disk(base.hub, 2**20):
        with pytest.raises(Denied, match="different file systems"):
            marker.open_tier(base, known, None)
        assert marker.free_bytes(base) <= 2**20
        assert marker.device(base) != str(base.path.stat().st_dev)


def test_the_entries_that_a_disk_has_left_are_counted_where_it_counts_them(tmp_path: Path) -> None:
    """A disk with a limited number of inodes says how many are free, also for a base that doesn't exist yet."""
    with small_disk(tmp_path / "few", 2**20, "nr_inodes=50") as disk:
        assert marker.free_entries(Base(disk / "base")) in range(30, 50)


def test_a_full_disk_is_not_called_unwritable(tmp_path: Path) -> None:
    """A full disk is reported as full, not as another user's."""
    with small_disk(tmp_path / "full", 2**16) as disk:
        with contextlib.suppress(OSError):
            (disk / "filler").write_bytes(b"x" * 2**17)
        with pytest.raises(OutOfSpace):
            marker.reset_marker(Base(disk))
