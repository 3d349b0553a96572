"""A disk is full from the k-th change on: a named error, nothing lost, and with room the work is finished.

Every call that creates something fails with ENOSPC from then on, as on a disk that others keep full; deleting works.
`SHELF_CRASHES=300 pytest tests/crash` takes every k; without it every seventeenth. The registry takes no room of the
disk (decision 14), and doesn't fail here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelshelf.domain.jobs import JobKind
from modelshelf.errors import OutOfSpace
from modelshelf.services.shelf import Shelf
from tests.crash.dying import Mortal
from tests.crash.test_move_crash import CRASHES, FILES, REPO, STRIDE, steps
from tests.disks import far_home, files_of
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, tree

ENDS = (0, OutOfSpace.exit_code)


@pytest.fixture(params=["link", "copy"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, hub: FakeHub) -> Iterator[Home]:
    """A home whose tiers are on one file system, then one where they are on two."""
    root = tmp_path_factory.mktemp("full") / "user"
    if request.param == "link":
        yield Home(root, hub.url)
    else:
        with far_home(root, hub.url) as far:
            yield far


def test_a_move_on_a_disk_that_fills_at_any_step(hub: FakeHub, home: Home, shelf: Shelf, mortal: Mortal) -> None:
    """If the disk fills at any step of a move, the model is whole on one tier, and with room the move finishes."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)

    for at in steps():
        code = mortal.do(at, "move", "m", "secondary", full=True)
        assert code in ENDS, (at, code)
        shelf.services.views.keep_true(look=True)  # what a view shows of the model waits for room
        assert violations(shelf) == []
        assert tree(shelf.path("m")) == FILES
        if shelf.model("m").base == str(home.primary):
            shelf.move("m", "secondary")
        shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
        assert (tree(shelf.path("m")), files_of(home.primary)) == (FILES, [])
        assert violations(shelf) == []
        shelf.move("m", "primary")
        if code == 0:
            break

    assert (code, at > STRIDE or CRASHES < 100) == (0, True)


def test_a_pull_on_a_disk_that_fills_at_any_step(hub: FakeHub, home: Home, shelf: Shelf, mortal: Mortal) -> None:
    """If the disk fills at any step of a pull, the model isn't ready, and with room the pull completes it."""
    hub.add_repo(REPO, FILES)

    for at in steps():
        shelf.register("m", REPO, download=False)
        code = mortal.do(at, "pull", "m", full=True)
        assert code in ENDS, (at, code)
        assert violations(shelf) == []
        shelf.pull("m")
        assert tree(shelf.path("m")) == FILES
        assert violations(shelf) == []
        shelf.remove("m", delete_files=True)
        if code == 0:
            break

    assert code == 0


def test_a_removal_on_a_full_disk_is_a_removal(hub: FakeHub, home: Home, shelf: Shelf, mortal: Mortal) -> None:
    """A removal needs no space, so it succeeds on a disk that is full from its first step on."""
    hub.add_repo(REPO, FILES)

    for at in (1, 2, 3, 5, 8):
        shelf.register("m", REPO)
        code = mortal.do(at, "rm", "m", full=True)
        assert code == 0, (at, code)
        assert shelf.models() == []
        assert files_of(home.primary) == []
        assert violations(shelf) == []


def test_garbage_on_a_full_disk_can_be_collected(hub: FakeHub, home: Home, shelf: Shelf, mortal: Mortal) -> None:
    """On a disk that is full from its first step on, gc runs to its end and keeps what is registered."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)

    for at in (1, 2, 3, 5, 8):
        assert mortal.do(at, "gc", full=True) == 0
        assert tree(shelf.path("m")) == FILES
