"""A link takes the place of a program's file only if that is still what was read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from modelshelf.store import fs
from modelshelf.store.adopt import hand_over
from modelshelf.store.folders import Place
from modelshelf.store.gc import open_files
from modelshelf.store.repos import scan

OURS = frozenset({os.geteuid()})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A program's file."""
    path = tmp_path / "program" / "m.gguf"
    path.parent.mkdir()
    path.write_text("weights")
    return path


def names(file: Path) -> list[str]:
    """Return the names in the file's folder."""
    return sorted(path.name for path in file.parent.iterdir())


def test_a_link_takes_the_place_of_a_file_as_it_was_read(file: Path, tmp_path: Path) -> None:
    """The link is there and nothing is left beside it."""
    assert hand_over.put_link(file.parent, file, str(tmp_path / "library"), scan.stamp(file)) == ""
    assert (str(file.readlink()), names(file)) == (str(tmp_path / "library"), ["m.gguf"])


def test_a_changed_file_stays(file: Path, tmp_path: Path) -> None:
    """A file that was written after it was read is there with its new content."""
    stamp = scan.stamp(file)
    file.write_text("weights, and more")

    assert hand_over.put_link(file.parent, file, str(tmp_path), stamp) == "was changed meanwhile"
    assert (file.read_text(), names(file)) == ("weights, and more", ["m.gguf"])


def test_a_file_stays_if_the_last_look_fails(file: Path) -> None:
    """An error at the last look leaves the file as it was."""

    def fails(kept: Path) -> bool:
        raise OSError(errno.EIO, "a disk that fails", str(kept))

    with pytest.raises(OSError, match="a disk that fails"):
        fs.put_link(file.parent, file, "/nowhere", fails)
    assert (file.read_text(), names(file)) == ("weights", ["m.gguf"])


def test_what_has_to_stay_says_why(file: Path, tmp_path: Path) -> None:
    """A missing file, a link, another user's file, one that is being written, and one in a closed folder stay."""
    link = tmp_path / "link"
    link.symlink_to(file)
    assert hand_over.why_kept(file, OURS, frozenset()) == ""
    assert hand_over.why_kept(tmp_path / "gone", OURS, frozenset()) == "can't be examined by this user"
    assert hand_over.why_kept(link, OURS, frozenset()) == "isn't a plain file"
    assert hand_over.why_kept(file, frozenset({4711}), frozenset()).startswith("belongs to another user")
    with file.open("ab"):
        assert hand_over.why_kept(file, OURS, open_files.written()) == "is open for writing"


@pytest.mark.parametrize("is_one_disk", [True, False])
def test_a_file_takes_the_place_of_a_link(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_one_disk: bool
) -> None:
    """The program has the file itself again, as a second name or a copy."""
    link = tmp_path / "program" / "link.gguf"
    link.symlink_to(file)
    if not is_one_disk:
        monkeypatch.setattr(fs, "try_link", _no_link)

    fs.put_file(link.parent, link, file)

    assert (link.is_symlink(), link.read_text(), link.samefile(file)) == (False, "weights", is_one_disk)
    assert names(file) == ["link.gguf", "m.gguf"]


def _no_link(source: Path | Place, target: Place) -> bool:
    return False
