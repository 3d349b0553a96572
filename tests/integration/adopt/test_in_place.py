"""Links take the place of other programs' files: one copy, and every program finds its model where it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.errors import BadInput, Conflict, NotFound
from modelshelf.services.shelf import Shelf
from tests.builders import put
from tests.headers import gguf
from tests.invariants import violations
from tests.store.adopt.test_git_clone import WEIGHTS as OF_CLONE
from tests.store.adopt.test_git_clone import clone
from tests.world import Home, random_bytes, tree

WEIGHTS = gguf({"general.architecture": "llama"}) + random_bytes(50_000)
OTHER = gguf({"general.architecture": "llama"}) + random_bytes(50_000, seed=2)
NAME = "TheOrg/Tiny-GGUF/tiny-Q4.gguf"


@pytest.fixture
def lmstudio(home: Home) -> Path:
    """LM Studio's folder with a model and its README."""
    folder = home.root / "lmstudio"
    put(folder / NAME, WEIGHTS)
    put(folder / "TheOrg/Tiny-GGUF/README.md", b"hello")
    return folder


def check_linked(shelf: Shelf, folder: Path, *paths: str) -> None:
    """Assert that these paths are links to whole files of the library, and that all views are true."""
    for path in paths:
        assert (folder / path).is_symlink()
        assert (folder / path).resolve(strict=True).is_file()
    assert [view.state for view in shelf.services.views.all()] == [ViewState.TRUE] * len(shelf.services.views.all())
    assert violations(shelf, at_rest=False) == []


def test_a_link_takes_the_place_of_weights(lmstudio: Path, home: Home, shelf: Shelf) -> None:
    """The weights become a link to the library's only copy, small files stay, and a second run changes nothing."""
    before = tree(lmstudio)

    report = shelf.adopt(lmstudio, "link")
    again = shelf.adopt(lmstudio, "link")

    assert (report["registered"], report["left"], again["models"]) == (["tiny-gguf"], [], [])
    assert tree(lmstudio) == before
    assert not (lmstudio / "TheOrg/Tiny-GGUF/README.md").is_symlink()
    assert (lmstudio / NAME).resolve().stat().st_nlink == 1
    check_linked(shelf, lmstudio, NAME)


def test_the_link_follows_its_model(lmstudio: Path, home: Home, shelf: Shelf) -> None:
    """After a move, a new name and an eviction the program reads the same bytes at the same path."""
    shelf.adopt(lmstudio, "link")

    shelf.move("tiny-gguf", "secondary")
    shelf.rename("tiny-gguf", "other")
    shelf.reconcile()

    assert home.secondary in (lmstudio / NAME).resolve().parents
    assert (lmstudio / NAME).read_bytes() == WEIGHTS
    check_linked(shelf, lmstudio, NAME)


def test_the_same_file_of_another_program_is_the_same_model(lmstudio: Path, home: Home, shelf: Shelf) -> None:
    """A file that the library has under another repository becomes a link to it, and no second model."""
    comfyui = home.root / "ComfyUI"
    put(comfyui / "models/text_encoders/a/encoder.gguf", WEIGHTS)
    put(comfyui / "models/loras/ink.gguf", OTHER)

    shelf.adopt(lmstudio, "link")
    report = shelf.adopt(comfyui, "link")

    assert sorted(model.row.model_name for model in shelf.models()) == ["ink", "tiny-gguf"]
    assert report["registered"] == ["ink"]
    assert tree(comfyui) == {"models/text_encoders/a/encoder.gguf": WEIGHTS, "models/loras/ink.gguf": OTHER}
    assert (comfyui / "models/text_encoders/a/encoder.gguf").resolve() == (lmstudio / NAME).resolve()


def test_a_clone_is_linked_at_both_of_its_copies(home: Home, shelf: Shelf) -> None:
    """The object of LFS and the file that is checked out lead to one copy."""
    folder = home.root / "clone"
    clone(folder)
    before, own = tree(folder), {path for path in folder.rglob("*") if path.is_symlink()}

    report = shelf.adopt(folder, "link")

    links = {path for path in folder.rglob("*") if path.is_symlink()} - own
    assert (report["left"], len(links)) == ([], 2)
    assert {path.read_bytes() for path in links} == {OF_CLONE}
    assert tree(folder) == before


def test_what_may_not_be_replaced_stays(lmstudio: Path, home: Home, shelf: Shelf) -> None:
    """A file that is open for writing, and one of another user, stay as they are, and the plan says why."""
    with (lmstudio / NAME).open("ab"):
        report = shelf.adopt(lmstudio, "link")
        assert [model["detail"] for model in report["models"]] == [f"{lmstudio / NAME} is open for writing."]
    if os.geteuid() == 0:
        os.chown(lmstudio / NAME, 4711, 4711)
        report = shelf.adopt(lmstudio, "link")
        assert "belongs to another user (uid 4711)" in report["models"][0]["detail"]

    assert not (lmstudio / NAME).is_symlink()
    assert shelf.models() == []


def test_a_damaged_copy_in_the_library_replaces_nothing(lmstudio: Path, home: Home, shelf: Shelf) -> None:
    """A program's good file stays while the library's copy of it is damaged."""
    other = home.root / "other"
    put(other / NAME, WEIGHTS)
    shelf.adopt(other, "link")
    blob = (other / NAME).resolve()
    blob.chmod(0o644)
    blob.write_bytes(WEIGHTS[:-1] + b"?")

    report = shelf.adopt(lmstudio, "link")

    assert "is damaged" in report["left"][0]
    assert (lmstudio / NAME).read_bytes() == WEIGHTS


def test_the_program_gets_its_files_back(lmstudio: Path, home: Home, shelf: Shelf) -> None:
    """With --unlink each path has a file of its own again; until then `view rm` refuses."""
    shelf.adopt(lmstudio, "link")
    views = shelf.services.views
    (view,) = [view for view in views.all() if view.view.kind is ViewKind.ADOPTED]
    with pytest.raises(Conflict, match="stand in the place"):
        views.remove(ViewKind.ADOPTED, view.view.root)
    with pytest.raises(BadInput, match="Only adopt"):
        views.add(ViewKind.ADOPTED, view.view.root, None)

    assert shelf.services.adopter.plan_unlink(str(lmstudio)) == lmstudio
    assert shelf.services.adopter.unlink(str(lmstudio)) == lmstudio

    assert not (lmstudio / NAME).is_symlink()
    assert (lmstudio / NAME).read_bytes() == WEIGHTS
    assert [view for view in views.all() if view.view.kind is ViewKind.ADOPTED] == []
    with pytest.raises(NotFound):
        shelf.services.adopter.unlink(str(lmstudio))
