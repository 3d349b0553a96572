"""Whether two paths lead to one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.errors import Unavailable
from modelshelf.store import same_place
from modelshelf.store.same_place import is_same_place


def test_links_are_followed(tmp_path: Path) -> None:
    """A link and what it leads to are one place, also for a folder in it that isn't there yet."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")

    assert is_same_place(f"{tmp_path}/link/hub", f"{tmp_path}/there/hub")
    assert is_same_place("/a/b", "/a//b/")
    assert not is_same_place(f"{tmp_path}/link", f"{tmp_path}/other")


def test_a_mount_that_does_not_answer_is_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a mount doesn't answer, the texts alone tell."""

    def hangs(*given: object, hang_s: float) -> str:
        raise Unavailable("It doesn't answer.")

    monkeypatch.setattr(same_place, "bounded", hangs)

    assert not is_same_place(f"{tmp_path}/a", f"{tmp_path}/b")
