"""A view has no dangling link at any instant, whatever dies, and nothing of anybody else's is touched.

A process dies just before its k-th change of a disk, for every k with `SHELF_CRASHES=300`, and at as many random
instants. Without it every ninth k of a view's own commands and every 41st of a move or a removal, which change views in
a few steps of many, and a few instants.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path
from random import Random

import pytest

from modelshelf.domain.jobs import JobKind
from modelshelf.domain.names import ModelName, ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.errors import ShelfError
from modelshelf.services.shelf import Shelf
from modelshelf.store.repos import scan
from tests.crash.dying import DIED, Mortal
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.invariants import violations
from tests.world import Home, random_bytes, tree

CRASHES = int(os.environ.get("SHELF_CRASHES", "6"))
STRIDE, LONG_STRIDE = (1, 1) if CRASHES >= 100 else (9, 41)
REPO = "org/name"
FILES = {"README.md": b"hello", "m.gguf": gguf({"general.architecture": "llama"}) + random_bytes(2000)}
KINDS = [ViewKind.FOLDER, ViewKind.OLLAMA]
MOVED = KINDS if LONG_STRIDE == 1 else KINDS[:1]


@pytest.fixture
def root(home: Home) -> Path:
    """A program's folder with files of its own; what a test reads there moves no model, and it is the only view."""
    home.views = ""
    home.extra = {"DATABASE_URL": f"sqlite:///{home.root}/registry.db", "PROMOTE": "never"}
    folder = home.root / "program"
    for path in ("mine.txt", "org/mine.txt", "blobs/sha256-mine"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("mine")
    return folder


@pytest.fixture
def library(root: Path, hub: FakeHub, shelf: Shelf) -> Shelf:
    """A library with one model."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    return shelf


def check(shelf: Shelf, root: Path) -> None:
    """Assert, before anything recovers, that no link dangles and that what isn't ours is there."""
    dangling = [str(path) for path in scan.walk_files(root) if path.is_symlink() and not path.exists()]
    assert dangling == []
    assert {path: text for path, text in tree(root).items() if "mine" in path} == {
        "mine.txt": b"mine",
        "org/mine.txt": b"mine",
        "blobs/sha256-mine": b"mine",
    }
    assert violations(shelf) == []


def check_true(shelf: Shelf, root: Path, base: Path) -> None:
    """Assert that a view is true, and that all of its links lead into a base."""
    assert {status.state for status in shelf.services.views.all()} == {ViewState.TRUE}
    links = [path for path in scan.walk_files(root) if path.is_symlink()]
    assert links
    assert all(base in path.resolve().parents for path in links)
    assert not [path for path in scan.walk_files(root) if path.name.endswith(".shelf-tmp")]
    check(shelf, root)


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_survives_a_kill_at_every_step(
    library: Shelf, home: Home, root: Path, mortal: Mortal, kind: ViewKind
) -> None:
    """After a kill while a view is made, synced or removed nothing dangles; the same command again finishes."""
    place = ViewRoot(str(root))
    before, made = tree(root), {"add": 0, "rm": 0}
    for at in itertools.count(1, STRIDE):
        made["add"] = mortal.do(at, "view add", kind, place, "m")
        check(library, root)
        library.services.views.add(kind, place, [ModelName("m")])
        check_true(library, root, home.primary)

        made["rm"] = mortal.do(at, "view rm", kind, place)
        check(library, root)
        with contextlib.suppress(ShelfError):  # the killed one had finished
            library.services.views.remove(kind, place)
        assert (tree(root), library.services.views.all()) == (before, [])
        if set(made.values()) == {0}:
            break

    assert at > STRIDE


@pytest.mark.parametrize("kind", MOVED)
def test_a_move_with_a_view_survives_a_kill_at_every_step(
    library: Shelf, home: Home, root: Path, mortal: Mortal, kind: ViewKind
) -> None:
    """After a kill at every step of a move each link of a view leads to a whole file; the next command mends it."""
    library.services.views.add(kind, ViewRoot(str(root)), [ModelName("m")])
    for at in itertools.count(1, LONG_STRIDE):
        code = mortal.do(at, "move", "m", "secondary")
        check(library, root)
        if code == DIED:
            with contextlib.suppress(ShelfError):  # it is there already: only its old copy was left
                library.move("m", "secondary")
            library.reconcile()
        check_true(library, root, home.secondary)
        if code != DIED:
            break
        library.move("m", "primary")

    assert (code, at > LONG_STRIDE) == (0, True)


def test_a_removal_with_a_view_survives_a_kill_at_every_step(
    library: Shelf, home: Home, root: Path, mortal: Mortal
) -> None:
    """After a kill at every step of a removal no link of a view dangles; afterwards there is none."""
    library.services.views.add(ViewKind.FOLDER, ViewRoot(str(root)), None)
    for at in itertools.count(1, LONG_STRIDE):
        code = mortal.do(at, "rm", "m")
        check(library, root)
        if code == DIED:
            with contextlib.suppress(ShelfError):  # the row is gone already
                library.remove("m", delete_files=True)
            library.services.runner.run_due(JobKind.DELETE_OLD_COPY)
            library.reconcile()
        assert not (root / REPO).exists()
        check(library, root)
        if code != DIED:
            break
        library.register("m", REPO)

    assert (code, at > LONG_STRIDE) == (0, True)


def test_views_survive_a_kill_at_any_instant(library: Shelf, home: Home, root: Path, mortal: Mortal) -> None:
    """After kills at random instants of every command that changes a view nothing dangles, and it can be finished."""
    place, before, random = ViewRoot(str(root)), tree(root), Random(29)
    took_s: dict[str, float] = {}
    views = library.services.views

    def die(work: str, *words: str) -> None:
        """Do it in a process that dies somewhere in it; the first one lives, and tells how long it takes."""
        begun_s = time.monotonic()
        after_s = random.uniform(0, took_s[work]) if work in took_s else None
        assert mortal.do(0, work, *words, after_s=after_s) in ((0, DIED) if after_s else (0,))
        took_s.setdefault(work, time.monotonic() - begun_s)
        check(library, root)

    for _ in range(CRASHES):
        kind = random.choice(KINDS)
        die("view add", kind, place, "m")
        views.add(kind, place, [ModelName("m")])
        check_true(library, root, home.primary)
        next(path for path in scan.walk_files(root) if path.is_symlink()).unlink()
        die("view sync", kind, place)
        views.sync(kind, place)
        check_true(library, root, home.primary)
        die("move", "m", "secondary")
        with contextlib.suppress(ShelfError):  # it is there already: only its old copy was left
            library.move("m", "secondary")
        library.reconcile()
        check_true(library, root, home.secondary)
        die("view rm", kind, place)
        with contextlib.suppress(ShelfError):  # the killed one had finished
            views.remove(kind, place)
        assert (tree(root), views.all()) == (before, [])
        library.move("m", "primary")
