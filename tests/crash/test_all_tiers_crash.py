"""HF_HOME=primary finds every model at every instant, whatever dies: the view of all tiers in the primary's own hub.

A process dies just before its k-th change of a disk, for every k with `SHELF_CRASHES=300`, else for every 29th.
"""

from __future__ import annotations

import contextlib
import itertools
import os

import pytest

from modelshelf.domain.jobs import UNFINISHED, JobKind
from modelshelf.domain.views import ViewState
from modelshelf.errors import ShelfError
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.crash.dying import DIED, Mortal
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, random_bytes, tree, wait_until

CRASHES = int(os.environ.get("SHELF_CRASHES", "6"))
STRIDE = 1 if CRASHES >= 100 else 29
REPO = "org/name"
FILES = {"README.md": b"hello", "deep/w.bin": random_bytes(2000), "model.safetensors": random_bytes(3000, seed=2)}


@pytest.fixture(autouse=True)
def _no_promotion(home: Home) -> None:
    """Let what the test reads move no model."""
    home.extra["PROMOTE"] = "never"


@pytest.fixture
def library(hub: FakeHub, shelf: Shelf, home: Home) -> Shelf:
    """A library with one model on the primary, and the views that are there without anybody's asking."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    return shelf


def check(library: Shelf, home: Home) -> None:
    """Assert, before anything recovers, that HF_HOME=primary has the whole model, and no link dangles."""
    repo = Base(home.primary).repo(REPO)
    commit_hash = library.model("m").row.commit_hash
    assert commit_hash is not None
    assert repo.ref("main").read_text() == commit_hash
    assert tree(repo.snapshot(commit_hash)).items() >= FILES.items()
    assert tree(home.primary / repo.path.name / "snapshots" / commit_hash).items() >= FILES.items()
    assert violations(library) == []


def check_true(library: Shelf, home: Home, *, viewed: bool) -> None:
    """Assert the same after recovery, and that each blob is a link or the model's own bytes, as it should be."""
    check(library, home)
    repo = Base(home.primary).repo(REPO)
    assert len(scan.viewed(repo)) == (len(FILES) if viewed else 0)
    assert len(scan.blob_sizes(repo)) == (0 if viewed else len(FILES))
    assert {status.state for status in library.services.views.all()} == {ViewState.TRUE}
    left = [path for path in scan.walk_files(repo.path) if path.name.endswith(".shelf-tmp")]
    assert not [path for path in left if path.is_symlink()]  # a killed move's own are left to gc


def finish(library: Shelf) -> None:
    """Do what a server would: delete the old copies that a killed process left, and reconcile."""

    def is_done() -> bool:
        library.services.runner.run_due(JobKind.DELETE_OLD_COPY)
        return not library.services.registry.jobs(kind=JobKind.DELETE_OLD_COPY, state=UNFINISHED)

    wait_until(is_done, "the deletion of old copies", 120)
    library.reconcile()


@pytest.mark.parametrize(("there", "back"), [("secondary", "primary"), ("primary", "secondary")])
def test_a_model_is_found_while_it_moves(library: Shelf, home: Home, mortal: Mortal, there: str, back: str) -> None:
    """After a kill at every step of a demotion and a promotion HF_HOME=primary has the model; a command finishes."""
    if there == "primary":
        library.move("m", "secondary")
    for at in itertools.count(1, STRIDE):
        code = mortal.do(at, "move", "m", there)
        check(library, home)
        if code == DIED:
            with contextlib.suppress(ShelfError):  # it is there already: only its old copy was left
                library.move("m", there)
            finish(library)
        check_true(library, home, viewed=there == "secondary")
        if code != DIED:
            break
        library.move("m", back)
        check_true(library, home, viewed=back == "secondary")

    assert (code, at > STRIDE) == (0, True)


def test_nothing_dangles_while_a_model_is_removed(library: Shelf, home: Home, mortal: Mortal) -> None:
    """After a kill at every step of a removal from the secondary no link dangles; afterwards none is left."""
    for at in itertools.count(1, STRIDE):
        library.move("m", "secondary")
        code = mortal.do(at, "rm", "m")
        assert violations(library) == []
        if code == DIED:
            with contextlib.suppress(ShelfError):  # the row is gone already
                library.remove("m", delete_files=True)
            finish(library)
        assert not Base(home.primary).repo(REPO).path.exists()
        assert violations(library) == []
        if code != DIED:
            break
        library.register("m", REPO)

    assert (code, at > STRIDE) == (0, True)
