"""Folders that are listed once and entries that are stat'ed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.store.listing import Listing
from tests.builders import put


def test_a_folder_is_listed_once(tmp_path: Path) -> None:
    """What comes later isn't seen by the same look, and a file that grew keeps its size."""
    put(tmp_path / "b", b"12")
    listing = Listing()
    [entry] = listing.entries(str(tmp_path))
    assert entry.stat().st_size == 2

    put(tmp_path / "a", b"")
    put(tmp_path / "b", b"12345")

    assert [(entry.name, entry.stat().st_size) for entry in listing.entries(str(tmp_path))] == [("b", 2)]
    assert [entry.name for entry in Listing().entries(str(tmp_path))] == ["a", "b"]


def test_a_walk_names_a_folder_before_what_is_in_it(tmp_path: Path) -> None:
    """Everything below a folder is yielded by name; a link to a folder is not entered."""
    for name in ("b/2", "b/1/x", "c"):
        put(tmp_path / "root" / name, b"")
    (tmp_path / "root/a").symlink_to(tmp_path / "root")

    found = [entry.path.removeprefix(f"{tmp_path}/root/") for entry in Listing().walk(str(tmp_path / "root"))]

    assert found == ["a", "b", "b/1", "b/1/x", "b/2", "c"]


def test_a_walk_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    """A folder that is gone holds nothing for a walk, and is an error for who asks for it alone."""
    assert list(Listing().walk(str(tmp_path / "gone"))) == []
    with pytest.raises(FileNotFoundError):
        Listing().entries(str(tmp_path / "gone"))


def test_a_folder_that_can_not_be_listed_is_asked_for_once(tmp_path: Path) -> None:
    """A folder that comes after somebody asked for it isn't seen by the same look."""
    listing = Listing()
    assert listing.readable(str(tmp_path / "late")) == []
    put(tmp_path / "late/a", b"")

    with pytest.raises(FileNotFoundError):
        listing.entries(str(tmp_path / "late"))


def test_a_name_is_known_to_be_free_once_its_folder_was_listed(tmp_path: Path) -> None:
    """Only a folder that was listed can say that it lacks a name; one that can't be listed says nothing."""
    put(tmp_path / "a/b", b"")
    listing, folder, gone = Listing(), str(tmp_path / "a"), str(tmp_path / "gone")
    assert not listing.lacks(folder, "c")

    assert (listing.readable(gone), [entry.name for entry in listing.readable(folder)]) == ([], ["b"])

    assert (listing.lacks(folder, "c"), listing.lacks(folder, "b"), listing.lacks(gone, "c")) == (True, False, False)


def test_the_folders_in_a_folder_are_told_from_files_and_links(tmp_path: Path) -> None:
    """Only real folders are below a folder, by name; nothing is below one that isn't there."""
    for name in ("b/1", "a/1", "c"):
        put(tmp_path / name, b"")
    (tmp_path / "d").symlink_to(tmp_path / "a")

    assert [entry.name for entry in Listing().below(str(tmp_path))] == ["a", "b"]
    assert Listing().below(str(tmp_path / "gone")) == []


def test_a_folder_is_known_once_what_holds_it_was_listed(tmp_path: Path) -> None:
    """The entry of a folder is had from the reading of what holds it; a file or a link isn't a folder."""
    put(tmp_path / "a/b", b"")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    listing = Listing()
    assert listing.folder(str(tmp_path / "a")) is None

    listing.entries(str(tmp_path))

    found = listing.folder(str(tmp_path / "a"))
    assert found is not None
    assert found.inode() == (tmp_path / "a").stat().st_ino
    assert listing.folder(str(tmp_path / "c")) is listing.folder(str(tmp_path / "a/b")) is None
