"""Two users share a base: what one can't read is reported with its fix, and never half-moved."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.errors import Denied
from modelshelf.services.shelf import Shelf
from tests.disks import files_of
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, Result, random_bytes, tree

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(300_000)}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

AS_NOBODY = """
import contextlib, io, os, sys
from pathlib import Path
from modelshelf.cli.main import main
root, theirs, *words = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["move", words[1], words[2], "--dry-run"])  # imports what this user may not read later
for path in [Path(root), *Path(root).rglob("*")]:
    if not str(path).startswith(theirs) and not path.is_symlink():
        os.chown(path, 65534, 65534)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main(words)
"""


@pytest.fixture
def home(hub: FakeHub) -> Iterator[Home]:
    """A home that every user may enter, unlike pytest's own folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Home(Path(folder) / "user", hub.url)


def move_as_nobody(home: Home, theirs: Path, *words: str) -> Result:
    """Move the model as an ordinary user who owns everything except `theirs`."""
    return home.python(AS_NOBODY, str(home.root), str(theirs), "move", "m", "secondary", *words)


@pytest.fixture
def config(hub: FakeHub, home: Home, shelf: Shelf) -> Path:
    """The small blob of a model on the primary."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    return (shelf.path("m") / "config.json").resolve()


def test_what_may_not_be_read_is_not_moved_by_half(home: Home, shelf: Shelf, config: Path) -> None:
    """If root owns one blob, the move is refused with the command that shows it, and nothing is copied."""
    config.chmod(0o600)

    refused = move_as_nobody(home, config, "--json")

    assert refused.code == Denied.exit_code, refused.err
    assert str(config) in refused.problem["detail"]
    assert "ls -l" in refused.problem["hint"]
    assert files_of(home.secondary) == []
    assert (shelf.model("m").base, tree(shelf.path("m"))) == (str(home.primary), FILES)


def test_what_may_be_read_and_not_deleted_stays_behind(home: Home, shelf: Shelf, config: Path) -> None:
    """If root owns the folder of blobs, the model arrives whole, and the old copy stays with the fix named."""
    moved = move_as_nobody(home, config.parent)

    assert moved.code == 0, moved.err
    assert f"{config.parent} belongs to user 0" in moved.err
    assert "-exec chown -h" in moved.err
    assert (shelf.model("m").base, tree(shelf.path("m"))) == (str(home.secondary), FILES)
    assert config.exists()
    assert violations(shelf) == []
