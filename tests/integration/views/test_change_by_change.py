"""A change is followed for the repository that it is about alone, and leaves what a look at everything would leave.

`SHELF_SERIES=50 pytest tests/integration/views/test_change_by_change.py` draws more series of changes than three.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from modelshelf.domain.names import ModelName, RepoId, ViewRoot
from modelshelf.domain.view_kinds import BY_REPOSITORY, ViewKind
from modelshelf.domain.views import View, ViewState
from modelshelf.services.shelf import Shelf
from modelshelf.services.views.keep import ViewKeeper
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.views import records
from tests.fakes.hub import FakeHub
from tests.headers import gguf, safetensors
from tests.invariants import violations
from tests.world import Home

SERIES = int(os.environ.get("SHELF_SERIES", "3"))
CHANGES = 12
REPOS = ("org/one", "org/two", "other/one", "plain", "huggingface/plain")
NAMES = tuple("abcdef")
OF_PROGRAMS = (ViewKind.FOLDER, ViewKind.LMSTUDIO, ViewKind.COMFYUI, ViewKind.GPT4ALL)
PATTERNS: tuple[tuple[str, ...], ...] = ((), ("*.gguf",), ("vae/*",))


@pytest.fixture(autouse=True)
def _no_promotion(home: Home) -> None:
    """Let what the test reads move no model."""
    home.extra["PROMOTE"] = "never"


def commit(hub: FakeHub, repo: str, number: int) -> None:
    """Give a repository a new commit, some of whose files are new."""
    files = {f"m-{number % 2}.gguf": gguf({"general.architecture": "llama"}) + repo.encode()}
    hub.add_repo(repo, files | {"sub/a.txt": b"%d" % number, "vae/x.safetensors": safetensors({"v": ("F32", [2])})})


def upkeep(shelf: Shelf) -> ViewKeeper:
    """Return what keeps the views of a library true."""
    found = shelf.services.views.upkeep
    return ViewKeeper(found.library, found.clock, found.kept)


def seen(shelf: Shelf) -> dict[str, tuple[View, dict[str, str]]]:
    """Return what each view's record says, and what is below its root that leads elsewhere."""
    found = {}
    for view in shelf.services.views.upkeep.recorded():
        inside = view.kind in (ViewKind.HF, ViewKind.CACHE_DIR)
        root = Path(view.root)
        paths = scan.walk_files(root / "hub" if inside else root)
        links = [*paths, *(path for path in root.iterdir() if inside and path.is_symlink())]
        filled = shelf.services.views.upkeep.filled(view)
        found[f"{view.kind} {view.root}"] = (
            filled,
            {str(path.relative_to(root)): str(path.readlink()) for path in links if path.is_symlink()},
        )
    return found


def change(shelf: Shelf, hub: FakeHub, random: Random, number: int) -> None:
    """Do something to a model, or take in one."""
    names = [model.model_name for model in shelf.models()]
    free = [name for name in NAMES if name not in names]
    verbs = ["add"] * 3 if len(names) < 2 else ["add", "move", "rename", "update", "remove"]
    verb, name = random.choice(verbs), random.choice(names or [""])
    if verb == "add" and free:
        tier, wanted = random.choice(("primary", "secondary")), random.choice(PATTERNS)
        shelf.register(random.choice(free), random.choice(REPOS), tier, allow_patterns=wanted)
    elif verb == "move":
        shelf.move(name, "primary" if shelf.model(name).cache_location == "secondary" else "secondary")
    elif verb == "rename" and free:
        shelf.rename(name, random.choice(free))
    elif verb == "update":
        commit(hub, shelf.model(name).row.hf_path, number)
        shelf.update(name)
    elif verb == "remove":
        shelf.remove(name, delete_files=random.random() < 0.7)


@pytest.mark.parametrize("seed", range(SERIES))
def test_change_by_change_is_all_at_once(shelf: Shelf, hub: FakeHub, home: Home, seed: int) -> None:
    """After any series of changes a look at everything finds nothing to do, and views made anew are the same."""
    random, views, keeper = Random(seed), shelf.services.views, upkeep(shelf)
    for repo in REPOS:
        commit(hub, repo, 0)
    shelf.register("a", "org/one")
    for kind in OF_PROGRAMS:
        views.add(kind, ViewRoot(str(home.root / "series" / kind)), None)
    views.add(ViewKind.FOLDER, ViewRoot(str(home.root / "series/chosen")), [ModelName("a")])
    for number in range(1, CHANGES + 1):
        change(shelf, hub, random, number)
    assert violations(shelf) == []
    keeper.after_change()
    by_changes = seen(shelf)
    assert keeper.kept.is_settled()

    keeper.after_change(look=True)
    assert seen(shelf) == by_changes

    for kind in OF_PROGRAMS:
        views.add(kind, ViewRoot(str(home.root / "anew" / kind)), None)
    anew = seen(shelf)
    for kind in OF_PROGRAMS:
        (before, links), (now, new_links) = (
            anew[f"{kind} {home.root}/{folder}/{kind}"] for folder in ("series", "anew")
        )
        assert links == new_links
        assert without_texts(before) == without_texts(replace(now, root=before.root))
    assert {status.state for status in views.all()} == {ViewState.TRUE}


def without_texts(view: View) -> View:
    """Return a view's record without the marks of files that name its folder."""
    made = {path: replace(one, marks=()) if one.model_name is None else one for path, one in view.made.items()}
    return replace(view, made=made)


@pytest.fixture
def reads(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> list[set[str] | None]:
    """Collect for which repositories records are read; None: for all."""
    found: list[set[str] | None] = []

    def filled(base: Base, view: View, repos: frozenset[str] | None = None) -> View:
        found.append(None if repos is None else set(repos))
        return real(base, view, repos)

    real: Callable[..., View] = records.filled
    monkeypatch.setattr(records, "filled", filled)
    return found


def test_a_change_costs_what_it_is_about(shelf: Shelf, hub: FakeHub, reads: list[set[str] | None]) -> None:
    """Once views are true, a change reads and plans what changed since, and not what didn't."""
    for repo in REPOS[:3]:
        commit(hub, repo, 0)
        shelf.register(repo.replace("/", "-"), repo, "secondary")
    for act in (
        lambda: shelf.rename("org-one", "new"),
        lambda: shelf.move("new", "primary"),
        lambda: shelf.move("new", "secondary"),
        lambda: shelf.remove("new", delete_files=True),
    ):
        reads.clear()
        act()
        assert reads
        assert all(repos is not None and "org/two" not in repos for repos in reads)


def test_a_lost_mark_lets_the_next_change_look_at_everything(
    shelf: Shelf, hub: FakeHub, home: Home, reads: list[set[str] | None]
) -> None:
    """Where nobody knows what views were made true for, a change makes all of them true for all models."""
    for repo in REPOS[:2]:
        commit(hub, repo, 0)
        shelf.register(repo.replace("/", "-"), repo, "secondary")
    base = Base(home.primary)
    base.views_mark.unlink()
    (home.primary / "models--org--two").unlink()
    reads.clear()

    shelf.rename("org-one", "new")

    assert set(map(type, reads)) == {type(None)}
    assert (home.primary / "models--org--two").is_symlink()
    assert {view.kind for view in records.read_all(base)} <= BY_REPOSITORY


def test_a_view_that_could_not_be_made_true_follows_later(shelf: Shelf, hub: FakeHub, home: Home) -> None:
    """While a view's folder is away the others follow each change; once it is back it has what it missed."""
    for repo in REPOS[:2]:
        commit(hub, repo, 0)
        shelf.register(repo.replace("/", "-"), repo)
    root, away = home.root / "program", home.root / "away"
    shelf.services.views.add(ViewKind.FOLDER, ViewRoot(str(root)), None)
    shelf.rename("org-two", "second")
    root.rename(away)
    shelf.move("org-one", "secondary")
    assert not (home.primary / "hub/models--org--one/blobs").is_symlink()
    assert len(scan.viewed(Base(home.primary).repo(RepoId("org/one")))) > 0
    away.rename(root)

    shelf.rename("second", "third")

    assert {status.state for status in shelf.services.views.all()} == {ViewState.TRUE}
    assert all(home.secondary in path.resolve(strict=True).parents for path in scan.walk_files(root / "org/one"))
