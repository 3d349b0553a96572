"""A killed adoption with links loses no byte: each program reads its model at its own path at every instant.

`SHELF_CRASHES=300` kills at every step; without it at every 29th.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from modelshelf.domain.views import ViewState
from modelshelf.services.shelf import Shelf
from tests.builders import put
from tests.crash.dying import DIED, Mortal
from tests.crash.test_move_crash import CRASHES, home
from tests.headers import gguf
from tests.invariants import violations
from tests.world import Home, random_bytes

__all__ = ["home"]
STRIDE = 1 if CRASHES >= 100 else 29
WEIGHTS = gguf({"general.architecture": "llama"}) + random_bytes(20_000)
NAMES = ("TheOrg/Tiny/tiny.gguf", "TheOrg/Same/other-name.gguf")


def check(shelf: Shelf, folder: Path) -> None:
    """Assert, before anything recovers, that both files read as ever and that what is registered is whole."""
    assert [(folder / name).read_bytes() == WEIGHTS for name in NAMES] == [True, True]
    assert violations(shelf, at_rest=False) == []


@pytest.mark.parametrize("at_first", [1, 15])
def test_links_survive_a_kill_at_every_step(home: Home, shelf: Shelf, mortal: Mortal, at_first: int) -> None:
    """After a kill at any step both paths have the bytes, and the same command again ends with one copy."""
    for at in itertools.count(at_first, STRIDE):
        folder = home.root / f"program-{at}"
        for name in NAMES:
            put(folder / name, WEIGHTS)

        code = mortal.do(at, "adopt", str(folder), "link")

        check(shelf, folder)
        if code == DIED:
            shelf.adopt(folder, "link")
        check(shelf, folder)
        assert len({(folder / name).resolve() for name in NAMES}) == 1
        assert all((folder / name).is_symlink() for name in NAMES)
        assert [path.name for path in folder.rglob("*") if path.name.endswith(".shelf-tmp")] == []
        assert {view.state for view in shelf.services.views.all()} == {ViewState.TRUE}
        assert shelf.services.registry.reservations.all() == []
        if code != DIED:
            break
        shelf.services.adopter.unlink(str(folder))
        for model in shelf.models():
            shelf.remove(model.row.model_name, delete_files=True)

    assert (code, at > at_first) == (0, True)
