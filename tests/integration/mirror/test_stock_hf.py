"""The stock `hf` command on a tier with registered models."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.stock_client import StockClient
from tests.world import Home, tree

FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}


@pytest.fixture
def commit(hub: FakeHub) -> str:
    """The commit of a repository on the hub."""
    return hub.add_repo("org/name", FILES)


def test_prune_leaves_what_is_registered(home: Home, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """`hf cache prune` keeps a model that was registered by commit, though no branch leads to it."""
    model = shelf.register("m", "org/name", revision=commit)
    stock = StockClient(home.primary, hub.url)

    pruned = stock.hf("cache", "prune", "-y")
    listed = stock.hf("cache", "ls", "--revisions")

    assert pruned.returncode == listed.returncode == 0, pruned.stderr + listed.stderr
    assert tree(Path(model.path or "")) == FILES
    assert commit[:8] in listed.stdout
    assert violations(shelf) == []


def test_prune_leaves_the_commit_that_a_branch_has_left(home: Home, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """`hf cache prune` keeps a registered commit after another program moved the branch."""
    model = shelf.register("m", "org/name")
    newer = hub.add_repo("org/name", {**FILES, "config.json": b'{"newer": 1}'})
    stock = StockClient(home.primary, hub.url)

    assert stock.hf("download", "org/name").returncode == 0
    assert stock.hf("cache", "prune", "-y").returncode == 0

    assert newer != commit
    assert tree(Path(model.path or "")) == FILES


def test_the_ref_of_a_model_goes_with_it(home: Home, shelf: Shelf, commit: str) -> None:
    """A model's own ref follows a rename and a move, and removing the last model leaves nothing of the repository."""
    shelf.register("m", "org/name", revision=commit)
    shelf.rename("m", "n")
    assert scan.refs(Base(home.primary).repo("org/name")) == {"refs/shelf/n": commit}

    shelf.move("n", "secondary")
    assert scan.refs(Base(home.secondary).repo("org/name")) == {"refs/shelf/n": commit}

    shelf.remove("n", delete_files=True)
    assert not Base(home.secondary).repo("org/name").path.exists()
    assert not Base(home.primary).repo("org/name").path.exists()


def test_a_download_leaves_no_lock_in_incoming(home: Home, shelf: Shelf, commit: str) -> None:
    """A fetched blob leaves nothing in incoming/."""
    shelf.register("m", "org/name")

    assert list(Base(home.primary).incoming.iterdir()) == []
