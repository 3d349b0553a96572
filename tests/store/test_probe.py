"""What is at a path, asked where the system may refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf.store import probe
from tests.store.users import acting_as

QUESTIONS = [
    probe.is_there,
    probe.is_file,
    probe.is_folder,
    probe.is_link,
    probe.is_real_file,
    probe.is_real_folder,
    probe.is_closed,
]


def answers(path: Path) -> list[str]:
    """Return the questions that are answered with yes."""
    return [question.__name__ for question in QUESTIONS if question(path)]


def test_each_thing_is_told_from_the_others(tmp_path: Path) -> None:
    """A file, a folder, links to both, a dangling link and nothing give six different answers."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder", "nothing"):
        (tmp_path / f"to-{name}").symlink_to(name)

    assert answers(tmp_path / "file") == ["is_there", "is_file", "is_real_file"]
    assert answers(tmp_path / "folder") == ["is_there", "is_folder", "is_real_folder"]
    assert answers(tmp_path / "to-file") == ["is_there", "is_file", "is_link"]
    assert answers(tmp_path / "to-folder") == ["is_there", "is_folder", "is_link"]
    assert answers(tmp_path / "to-nothing") == ["is_there", "is_link"]
    assert answers(tmp_path / "nothing") == []


def test_nothing_below_a_closed_folder_is_told_and_nothing_is_raised(tmp_path: Path) -> None:
    """Below a closed folder the only answer is that it is closed, and nothing is raised."""
    tmp_path.chmod(0o755)
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "file").write_text("")

    with acting_as():
        found = answers(tmp_path / "closed" / "file")

    assert found == ["is_closed"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_name_that_no_file_can_have_is_not_there(question: Callable[[Path], bool]) -> None:
    """A name with a null character isn't there and raises nothing."""
    assert question(Path("a\0b")) is False


def test_a_real_path_has_no_link(tmp_path: Path) -> None:
    """A path is told without its links, as Python tells it: of a file, of a name without one, and of a circle."""
    root = tmp_path.resolve()
    (root / "folder").mkdir()
    (root / "folder" / "file").write_text("")
    (root / "link").symlink_to("folder")
    (root / "circle").symlink_to("circle")

    assert probe.real_path(root / "link" / "file") == root / "folder" / "file"
    assert probe.real_path(root / "link" / "nothing") == root / "folder" / "nothing"
    assert probe.real_path(root / "circle") == root / "circle"
    assert probe.followed(root / "link" / "file")[1].st_size == 0
    with pytest.raises(FileNotFoundError):
        probe.followed(root / "link" / "nothing")
