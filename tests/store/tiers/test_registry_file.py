"""Where a registry's file may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.errors import Unavailable
from modelshelf.store.layout import known_bases_file
from modelshelf.store.tiers import registry_file


def test_a_registry_may_be_there_or_not_yet(tmp_path: Path) -> None:
    """A registry's path may be a file, nothing yet, or a server's address."""
    (tmp_path / "there.db").touch()

    for path in (tmp_path / "there.db", tmp_path / "new.db", None):
        registry_file.check_place(path, tmp_path)


@pytest.mark.parametrize(("kind", "said"), [("link", "is a link that leads nowhere"), ("folder", "isn't a file")])
def test_something_else_under_its_name_is_refused(tmp_path: Path, kind: str, said: str) -> None:
    """Anything else at the registry's path is refused before SQLite opens it, with the way out."""
    path = tmp_path / "registry.db"
    if kind == "link":
        path.symlink_to("gone")
    else:
        path.mkdir()

    with pytest.raises(Unavailable, match=said) as caught:
        registry_file.check_place(path, tmp_path)
    assert "shelf doctor" in caught.value.hint


def test_the_folder_of_a_registry_in_the_state_folder_is_made(tmp_path: Path) -> None:
    """Only the state folder is created for a registry, because refusals send people there."""
    ours = known_bases_file(tmp_path / "state").with_name("registry.db")

    for path in (ours, tmp_path / "other" / "registry.db", None):
        registry_file.make_room_for(path, tmp_path / "state")

    assert ours.parent.is_dir()
    assert not (tmp_path / "other").exists()
