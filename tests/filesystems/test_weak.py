"""Real drives of other systems: a model is stored there once, and comes back with its links, or is refused early."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.disks import FAT_FILE_BYTES
from modelshelf.errors import BadInput, OutOfSpace
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.disks import FarHome, files_of
from tests.fakes.hub import FakeHub
from tests.invariants import du, violations
from tests.store.fuse import fuse_disk, share
from tests.world import MIB, random_bytes, tree

REPO = "org/name"
FILES = {
    "config.json": b"{}",
    "deep/er/w.bin": random_bytes(40_000),
    "model.safetensors": random_bytes(8 * MIB + 5),
}
TOTAL = sum(map(len, FILES.values()))
SLACK_BYTES = 600_000
"""Bytes for our own files, folders and clusters."""


@pytest.fixture(params=["exFAT", "NTFS", "share"])
def home(request: pytest.FixtureRequest, tmp_path: Path, hub: FakeHub) -> Iterator[FarHome]:
    """A home whose secondary is such a drive, with the registry on the primary.

    FAT32 is asked for by name: its FUSE server doesn't report free space, so nothing is reserved there.
    """
    if request.param == "share":
        with share(tmp_path / "nas") as mounted:
            yield FarHome(tmp_path / "user", hub.url, far=mounted.path)
        return
    with fuse_disk(tmp_path / "disk", request.param) as disk:
        yield FarHome(tmp_path / "user", hub.url, far=disk)


def links(base: Path) -> int:
    """Return how many symbolic links the model's snapshots have."""
    return sum(path.is_symlink() for path in Base(base).repo(REPO).snapshots.rglob("*"))


def test_there_once_and_back_with_its_links(hub: FakeHub, home: FarHome, shelf: Shelf) -> None:
    """A model moves there and back, is pulled, verified, updated and removed there; nothing is left or stored twice."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    before = (files_of(home.primary), links(home.primary))

    shelf.move("m", "secondary")

    assert (tree(shelf.path("m")), files_of(home.primary)) == (FILES, [])
    assert TOTAL <= du(Base(home.secondary).repo(REPO).path)[0] <= TOTAL + SLACK_BYTES
    assert violations(shelf) == []
    assert list(shelf.verify(["m"]).wrong) == []
    shelf.move("m", "primary")
    assert ((files_of(home.primary), links(home.primary)), files_of(home.secondary)) == (before, [])
    shelf.register("there", REPO, "secondary")
    assert tree(shelf.path("there")) == FILES
    shelf.remove("there", delete_files=True)
    assert files_of(home.secondary) == []
    assert violations(shelf) == []


def test_the_command_line_works_there(hub: FakeHub, home: FarHome) -> None:
    """add, tiers, gc, dedupe, reconcile and doctor work there."""
    hub.add_repo(REPO, FILES)

    home.run("add", "m", REPO, "--to", "secondary").checked()
    for words in (["tiers"], ["gc"], ["dedupe"], ["reconcile"], ["verify", "m"], ["doctor"]):
        home.run(*words).checked()

    assert tree(Path(home.run("path", "m").checked().out.strip())) == FILES


@pytest.mark.parametrize("home", ["FAT32", "exFAT"], indirect=True)
def test_what_it_cannot_hold_is_refused_before_a_byte(hub: FakeHub, home: FarHome, shelf: Shelf) -> None:
    """Names that clash there, and names that it can't have, are refused before a byte is written."""
    for repo_id, names in (("org/case", ("README", "readme")), ("org/colon", ("of:4", "x"))):
        hub.add_repo(repo_id, {name: name.encode() for name in names})
        with pytest.raises(BadInput):
            shelf.register("m", repo_id, "secondary")

    assert (hub.bytes_sent, files_of(home.secondary)) == (0, [])


@pytest.mark.parametrize("home", ["FAT32"], indirect=True)
def test_a_file_of_four_gib_is_refused_before_a_byte(hub: FakeHub, home: FarHome, shelf: Shelf, tmp_path: Path) -> None:
    """A file of four GiB is refused before a byte is written, and the error names a tier for it."""
    big = tmp_path / "model.gguf"
    with big.open("wb") as file:
        file.truncate(FAT_FILE_BYTES + 1)
    hub.add_repo(REPO, {"model.gguf": big})

    with pytest.raises(OutOfSpace) as refused:
        shelf.register("m", REPO, "secondary")

    assert refused.value.fields["would_hold"] == ["primary"]
    assert (hub.bytes_sent, files_of(home.secondary)) == (0, [])
