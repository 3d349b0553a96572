"""A tier's marker: a mounted base is told from the empty folder that it is mounted on."""

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
    """A user who has used nothing yet."""
    return KnownBases(tmp_path / "state")


def unmount(base: Base) -> None:
    """Leave the empty folder that the drive was mounted on."""
    base.path.rename(base.path.with_name("unmounted"))
    base.path.mkdir()


def test_on_first_use_a_base_is_made_and_marked(base: Base, known: KnownBases) -> None:
    """Its id is in the marker, and remembered outside of it."""
    tier_id = marker.open_tier(base, known, None)

    assert json.loads(base.marker.read_text()) == {"format": 1, "id": tier_id}
    assert marker.read_id(base) == tier_id
    assert known.load() == {str(base.path): tier_id}


def test_a_base_keeps_its_id(base: Base, known: KnownBases) -> None:
    """However often and by whomever it is opened."""
    tier_id = marker.open_tier(base, known, None)

    assert marker.open_tier(base, known, tier_id) == tier_id
    assert marker.open_tier(base, KnownBases(known.state_home.with_name("other")), None) == tier_id


def test_two_bases_have_two_ids(base: Base, known: KnownBases) -> None:
    """Both are remembered."""
    other = Base(base.path.with_name("other"))

    ids = [marker.open_tier(each, known, None) for each in (base, other)]

    assert known.load() == {str(base.path): ids[0], str(other.path): ids[1]}
    assert ids[0] != ids[1]


@pytest.mark.parametrize("memory", ["registry", "state folder"])
def test_an_unmounted_base_is_offline_and_nothing_is_written(base: Base, known: KnownBases, memory: str) -> None:
    """Either memory suffices to tell an empty mount point from a fresh base."""
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
    """What is registered on one drive is not looked for on another."""
    tier_id = marker.open_tier(base, known, None)
    unmount(base)
    marker.reset_marker(base)

    with pytest.raises(Unavailable, match="another tier than before"):
        marker.open_tier(base, known, tier_id)


def test_a_base_that_nobody_knows_is_not_offline(base: Base) -> None:
    """Neither a fresh one, nor one that another machine marked."""
    assert marker.why_offline(base, None) == ""
    tier_id = marker.reset_marker(base)
    assert marker.why_offline(base, None) == ""
    assert marker.why_offline(base, tier_id) == ""


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"null"])
def test_a_marker_that_cannot_be_read_is_none(base: Base, content: bytes) -> None:
    """A torn marker never gives an id that was not there."""
    put(base.marker, content)

    assert marker.read_id(base) is None


@pytest.mark.parametrize("memory", [b"", b"[1]", b"\xff", b"3"])
def test_a_memory_that_cannot_be_read_is_empty_and_is_written_anew(
    base: Base, known: KnownBases, memory: bytes
) -> None:
    """It is a help, and never stands in the way."""
    put(known_bases_file(known.state_home), memory)

    assert known.load() == {}
    known.remember(base, "id")
    assert known.load() == {str(base.path): "id"}


def test_a_memory_that_is_up_to_date_is_not_written_again(base: Base, known: KnownBases) -> None:
    """Looking at a tier changes nothing on the disk."""
    known.remember(base, "id")
    before = known_bases_file(known.state_home).stat().st_ino

    known.remember(base, "id")

    assert known_bases_file(known.state_home).stat().st_ino == before


def test_a_read_only_home_is_no_reason_to_stop(base: Base, tmp_path: Path) -> None:
    """The tier is opened all the same."""
    in_the_way = put(tmp_path / "file", b"")

    tier_id = marker.open_tier(base, KnownBases(in_the_way), None)

    assert marker.read_id(base) == tier_id


def test_a_base_that_cannot_be_written_is_refused(tmp_path: Path, known: KnownBases) -> None:
    """On a read-only disk there is no tier, and nobody remembers one."""
    with small_disk(tmp_path / "ro", 2**16, "ro") as disk:
        with pytest.raises(BadInput, match="cannot be written"):
            marker.open_tier(Base(disk / "base"), known, None)
        assert known.load() == {}


def test_a_base_inside_a_file_is_refused(tmp_path: Path, known: KnownBases) -> None:
    """The system's reason is part of the sentence."""
    in_the_way = put(tmp_path / "file", b"")

    with pytest.raises(BadInput, match="Not a directory"):
        marker.open_tier(Base(in_the_way / "base"), known, None)


def test_whether_a_base_could_be_made_is_told_without_making_it(tmp_path: Path) -> None:
    """A file above it, or a disk that takes no writes, is said as it would be when it is made."""
    marker.check_creatable(Base(tmp_path / "new/base"))
    with pytest.raises(BadInput, match=r"new cannot be written: \S*/file isn't a folder"):
        marker.check_creatable(Base(put(tmp_path / "file", b"") / "new"))
    with small_disk(tmp_path / "ro", 2**16, "ro") as disk, pytest.raises(BadInput, match=r"/ro cannot be written"):
        marker.check_creatable(Base(disk / "base"))
    assert not (tmp_path / "new").exists()


def test_a_base_that_is_not_there_yet_lies_on_the_disk_above_it(base: Base, tmp_path: Path) -> None:
    """Free space and device can be asked before the first use, and nothing is made by asking."""
    assert marker.device(base) == marker.device(Base(tmp_path)) == str(tmp_path.stat().st_dev)
    found = os.statvfs(tmp_path)
    assert marker.free_bytes(base) == pytest.approx(found.f_bavail * found.f_frsize, rel=0.05)
    assert not base.path.exists()


def test_a_mounted_disk_is_another_device(tmp_path: Path) -> None:
    """It has its own name and its own free bytes."""
    with small_disk(tmp_path / "disk", 2**20) as disk:
        base = Base(disk / "base")

        assert marker.device(base) != marker.device(Base(tmp_path))
        assert 0 < marker.free_bytes(base) <= 2**20


def test_a_base_is_writable_until_one_of_its_folders_is_not(tmp_path: Path) -> None:
    """A read-only mount and a folder of another owner say the same; a base that is not there yet can be made."""
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
    """Starting afresh over zeros gives the base an id that is there afterwards; one that is good stays."""
    put(base.marker, bytes(40))

    tier_id = marker.reset_marker(base)

    assert marker.read_id(base) == tier_id
    assert marker.reset_marker(base) == tier_id
    assert marker.give_new_id(base) != tier_id


def test_a_base_that_was_used_is_offline_though_nobody_remembers_its_id(base: Base) -> None:
    """A whole model is registered there, and that is memory enough; any marker is the right one then."""
    assert "is it mounted?" in marker.why_offline(base, "")
    marker.reset_marker(base)
    assert marker.why_offline(base, "") == ""


@pytest.mark.parametrize("which", ["hub", "modelshelf", "hub/.locks", "modelshelf/incoming", "modelshelf/registry.db"])
def test_a_base_whose_own_folder_is_a_link_is_not_opened(base: Base, known: KnownBases, which: str) -> None:
    """The first look names the link and the way out, makes nothing behind it, and calls the tier offline."""
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
    """A link that only was to show whether links work is no link on the way."""
    tier_id = marker.open_tier(base, known, None)
    (base.own / ".probe.0a1b2c3d.shelf-tmp").symlink_to("nowhere")

    assert marker.open_tier(base, known, None) == tier_id


def test_a_base_on_two_file_systems_is_not_opened(base: Base, known: KnownBases) -> None:
    """What arrives beside `modelshelf` couldn't be given its name in `hub`; free space is that of `hub`."""
    marker.open_tier(base, known, None)
    with small_disk(base.hub, 2**20):
        with pytest.raises(Denied, match="different file systems"):
            marker.open_tier(base, known, None)
        assert marker.free_bytes(base) <= 2**20
        assert marker.device(base) != str(base.path.stat().st_dev)


def test_the_entries_that_a_disk_has_left_are_counted_where_it_counts_them(tmp_path: Path) -> None:
    """A disk of few names says how many; a base that is still to be made is asked by what it would lie in."""
    with small_disk(tmp_path / "few", 2**20, "nr_inodes=50") as disk:
        assert marker.free_entries(Base(disk / "base")) in range(30, 50)


def test_a_full_disk_is_not_called_unwritable(tmp_path: Path) -> None:
    """It is said to be full, for then freeing space helps and another owner doesn't."""
    with small_disk(tmp_path / "full", 2**16) as disk:
        with contextlib.suppress(OSError):
            (disk / "filler").write_bytes(b"x" * 2**17)
        with pytest.raises(OutOfSpace):
            marker.reset_marker(Base(disk))
