"""The views that are kept without anybody's asking: where they are, when they are made, and what they cost."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from modelshelf.domain.names import BasePath, FilePath, ModelName, ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import Made, View, ViewState, text_mark
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.views import records
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, load_offline, random_bytes, tree

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(9000)}


@pytest.fixture(autouse=True)
def _models(hub: FakeHub) -> None:
    """Give the hub two models."""
    for name in ("one", "two"):
        hub.add_repo(f"org/{name}", {**FILES, "name.txt": name.encode()})


def beside(base: Path) -> dict[str, str]:
    """Return the links beside a base's hub, and `blobs`, if something is there."""
    found = {path.name: str(path.readlink()) for path in base.iterdir() if path.is_symlink()}
    return found | ({"blobs": "file"} if (base / "blobs").is_file() else {})


def states(shelf: Shelf) -> dict[ViewKind, ViewState]:
    """Return the state of each view of the primary."""
    primary = shelf.services.tiers.settings.primary.base
    return {s.view.kind: s.state for s in shelf.services.views.all() if s.view.root == primary}


def written(base: Base) -> dict[str, int]:
    """Return when each file below a base's records was written."""
    return {path.name: path.stat().st_mtime_ns for path in base.views.iterdir()}


def test_one_disk_has_links_beside_its_hub_alone(shelf: Shelf, home: Home) -> None:
    """While all models are on the primary there is no view of all tiers, and each model has its link beside hub."""
    shelf.register("one", "org/one")

    assert states(shelf) == {ViewKind.CACHE_DIR: ViewState.TRUE}
    assert beside(home.primary) == {"models--org--one": "hub/models--org--one", "blobs": "file"}
    shelf.move("one", "secondary")
    assert states(shelf) == {ViewKind.CACHE_DIR: ViewState.TRUE, ViewKind.HF: ViewState.TRUE}
    assert tree(load_offline(home, home.primary, "org/one")) == tree(shelf.path("one"))
    assert beside(home.primary) == beside(home.secondary)

    shelf.remove("one", delete_files=True)

    assert beside(home.primary).keys() | beside(home.secondary).keys() == set()
    assert not Base(home.primary).repo("org/one").path.exists()
    assert violations(shelf) == []


def test_the_tools_own_cache_gets_nothing_beside_its_hub(home: Home) -> None:
    """Where no setting names the primary, it is the tools' own cache: its models show in hub, and nothing beside it."""
    home.extra["PRIMARY_CACHE_PATH"] = ""
    cache = home.root / "home/.cache/huggingface"

    home.run("add", "one", "org/one").checked()
    home.run("add", "two", "org/two", "--to", "secondary").checked()

    assert beside(cache) == {}
    assert beside(home.secondary).keys() == {"models--org--two", "blobs"}
    assert {path.name for path in load_offline(home, cache, "org/two").iterdir()} == {*FILES, "name.txt"}


def test_a_forgotten_base_takes_its_links_along(home: Home) -> None:
    """Forgetting a base with its models leaves no link to it where all tiers' models are shown."""
    drive = home.root / "drive"
    home.run("add", "one", "org/one", "--to", str(drive)).checked()
    assert Base(home.primary).repo("org/one").path.exists()

    home.run("forget", str(drive), "--models").checked()

    assert not Base(home.primary).repo("org/one").path.exists()
    assert home.run("ls").checked().err.startswith("No models yet")
    assert Base(drive).repo("org/one").blobs.is_dir()


def test_nothing_is_done_where_no_model_changed(shelf: Shelf, home: Home) -> None:
    """A job that changes no model writes nothing of views; the next change of one does."""
    shelf.register("one", "org/one", "secondary")
    keeper, base = shelf.services.remover.old_copies.views, Base(home.primary)
    keeper.after_change()
    before = written(base)

    keeper.after_change()
    keeper.before_deletion()
    shelf.gc()

    assert written(base) == before
    shelf.register("two", "org/two", "secondary")
    assert written(base) != before


@pytest.mark.parametrize("change", ["link", "mark", "record"])
def test_reconcile_looks_at_each_link(shelf: Shelf, home: Home, change: str) -> None:
    """What somebody deleted, a lost mark or record included, is back after a reconcile."""
    shelf.register("one", "org/one", "secondary")
    base = Base(home.primary)
    if change == "link":
        (home.primary / "models--org--one").unlink()
        (home.secondary / "models--org--one").unlink()
        next(base.repo("org/one").blobs.iterdir()).unlink()
    elif change == "mark":
        base.views_mark.write_text("{}")
    else:
        base.view(ViewKind.CACHE_DIR, str(home.primary)).unlink()

    shelf.reconcile()

    assert set(states(shelf).values()) == {ViewState.TRUE}
    assert beside(home.primary) == beside(home.secondary)
    assert tree(load_offline(home, home.primary, "org/one")) == tree(shelf.path("one"))


def test_a_library_from_before_gets_its_views(home: Home) -> None:
    """A library without views has them after a reconcile, and asking alone writes nothing."""
    with home.open(VIEWS="") as before:
        before.register("one", "org/one", "secondary")
        assert before.services.views.all() == []
    home.run("ls").checked()
    home.run("view", "ls").checked()
    assert beside(home.primary) == {}

    home.run("reconcile").checked()

    assert beside(home.primary).keys() == {"models--org--one", "blobs"}
    assert load_offline(home, home.primary, "org/one").is_dir()


def test_where_there_are_no_links_there_is_no_view(home: Home) -> None:
    """With HF_HUB_DISABLE_SYMLINKS no view is made, and those that are there go."""
    home.run("add", "one", "org/one", "--to", "secondary").checked()
    assert beside(home.primary)

    home.run("reconcile", HF_HUB_DISABLE_SYMLINKS="1").checked()

    assert (beside(home.primary), beside(home.secondary)) == ({}, {})
    assert home.run("view", "ls", "--json").checked().json == []
    assert not os.path.lexists(Base(home.primary).repo("org/one").path)


def test_a_drive_cannot_name_a_folder_elsewhere_as_its_view(home: Home, tmp_path: Path) -> None:
    """A record on the secondary that says we made a file of somebody's folder moves no hand there."""
    note, text = tmp_path / "notes.txt", b"mine"
    note.write_bytes(text)
    home.run("add", "one", "org/one").checked()
    drive, view = Base(home.secondary), View(ViewKind.FOLDER, ViewRoot(str(tmp_path)), (), BasePath(str(home.primary)))
    made = {FilePath("notes.txt"): Made(ModelName("one"), (text_mark(text),))}
    home.run("add", "two", "org/two", "--to", "secondary").checked()

    records.write(drive, replace(view, made=made))
    home.run("view", "sync").checked()
    home.run("move", "one", "secondary").checked()
    home.run("reconcile").checked()

    assert note.read_bytes() == text
    assert [Path(listed["root"]) for listed in home.run("view", "ls", "--json").checked().json].count(tmp_path) == 0
