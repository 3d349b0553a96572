"""Commits that adopt makes up."""

from __future__ import annotations

import pytest

from modelshelf.domain.made_up import check_real, is_made_up, make_up
from modelshelf.domain.models import FileEntry
from modelshelf.errors import NotFound

FILES = [FileEntry("a.gguf", 5, "a" * 64), FileEntry("b.gguf", 6, "b" * 64)]


def test_the_same_files_make_up_the_same_commit() -> None:
    """It is told from a real one, in whatever order the files were found; other files make up another."""
    made = make_up("org/name", FILES)

    assert is_made_up(made)
    assert made == make_up("org/name", reversed(FILES))
    assert made != make_up("org/name", FILES[:1])


def test_no_hub_is_asked_for_a_commit_that_was_made_up() -> None:
    """The hint names what brings its files again; a real commit passes."""
    check_real("org/name", "a" * 40)

    with pytest.raises(NotFound, match="no hub has this commit") as caught:
        check_real("org/name", make_up("org/name", FILES))
    assert "shelf adopt" in caught.value.hint
