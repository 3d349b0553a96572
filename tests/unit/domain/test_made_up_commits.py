"""Commits that adopt makes up."""

from __future__ import annotations

import pytest

from modelshelf.domain.made_up_commits import check_real, is_made_up, make_up
from modelshelf.errors import NotFound

DIGESTS = {"a.gguf": "a" * 64, "b.gguf": "b" * 64}


def test_the_same_files_make_up_the_same_commit() -> None:
    """The same files give the same made-up commit in any order, other files another, and none looks like a real one."""
    made = make_up("org/name", DIGESTS)

    assert is_made_up(made)
    assert made == make_up("org/name", dict(reversed(DIGESTS.items())))
    assert made != make_up("org/name", {"a.gguf": "a" * 64})


def test_no_hub_is_asked_for_a_commit_that_was_made_up() -> None:
    """A made-up commit is refused before any request, and the hint says how to get its files; a real one passes."""
    check_real("org/name", "a" * 40)

    with pytest.raises(NotFound, match="no hub has this commit") as caught:
        check_real("org/name", make_up("org/name", DIGESTS))
    assert "shelf adopt" in caught.value.hint
