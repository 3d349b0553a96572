"""A tier whose snapshots hold the bytes, as on exFAT, under WSL, or with HF_HUB_DISABLE_SYMLINKS."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.plans import beside_bytes
from modelshelf.errors import OutOfSpace
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base, Repo
from modelshelf.store.tiers import capabilities, marker
from tests.disks import FarHome, files_of
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.invariants import du, violations
from tests.world import MIB, Home, load_offline, random_bytes, tree

REPO = "org/name"
WEIGHTS = random_bytes(8 * MIB + 5)
FILES = {
    "config.json": b"{}",
    "deep/er/w.bin": random_bytes(40_000),
    "deep/er/same.bin": random_bytes(40_000),
    "model.safetensors": WEIGHTS,
}
NEW = FILES | {"config.json": b'{"new": 1}'}
DIGEST = Blob.of(WEIGHTS, lfs=True).digest
TOTAL = sum(map(len, FILES.values()))
DISTINCT = sum(map(len, set(FILES.values())))
NO_SYMLINKS = {"HF_HUB_DISABLE_SYMLINKS": "1", "HF_HUB_DISABLE_SYMLINKS_WARNING": "1"}


@contextlib.contextmanager
def exfat_disk(folder: Path) -> Iterator[Path]:
    """Mount an exFAT image through FUSE inside the context; skip the test where that isn't possible."""
    if os.geteuid() != 0 or not shutil.which("mkfs.exfat") or not shutil.which("mount.exfat-fuse"):
        pytest.skip("this needs root, exfatprogs and exfat-fuse")
    folder.mkdir(parents=True)
    image, mounted = folder / "exfat.img", folder / "exfat"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(100 * 2**20)
    subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
    loop = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True)
    if loop.returncode:
        pytest.skip(f"no loop device: {loop.stderr.strip()}")
    device = loop.stdout.strip()
    done = subprocess.run(["mount.exfat-fuse", device, str(mounted)], capture_output=True, text=True)
    try:
        if done.returncode:
            pytest.skip(f"exFAT cannot be mounted here: {done.stderr.strip()}")
        yield mounted
        subprocess.run(["umount", str(mounted)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture(params=["a file that says so", "exFAT"])
def home(request: pytest.FixtureRequest, tmp_path: Path, hub: FakeHub) -> Iterator[Home]:
    """A home whose secondary has no symbolic links, by a recorded probe and for real."""
    if request.param == "exFAT":
        with exfat_disk(tmp_path / "disk") as disk:
            yield FarHome(tmp_path / "user", hub.url, far=disk)
        return
    home = Home(tmp_path / "user", hub.url)
    marker.reset_marker(Base(home.secondary))
    Base(home.secondary).capabilities.write_text(
        '{"format": 1, "symlinks": false, "hardlinks": true, "reflinks": false}'
    )
    yield home


def repo(base: Path) -> Repo:
    """Return the path of the repository in a base."""
    return Base(base).repo(REPO)


def links(base: Path) -> list[Path]:
    """Return the symbolic links in the snapshots of a base."""
    return [path for path in repo(base).snapshots.rglob("*") if path.is_symlink()]


def check_plain(home: Home, shelf: Shelf) -> None:
    """Assert that the secondary holds each content once, in its file, and that every tool finds it."""
    assert links(home.secondary) == []
    assert [path.name for path in repo(home.secondary).blobs.glob("*")] == []
    assert tree(shelf.path("m")) == FILES
    assert tree(load_offline(home, home.secondary, REPO)) == FILES
    assert DISTINCT <= du(repo(home.secondary).path)[0] <= TOTAL + 600_000
    assert violations(shelf) == []


def test_moving_there_stores_once_and_back_restores_the_links(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A move there puts the bytes into the snapshot, and a move back restores blobs and links."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    before = files_of(home.primary)

    shelf.move("m", "secondary")

    check_plain(home, shelf)
    assert files_of(home.primary) == []
    shelf.move("m", "primary")
    assert files_of(home.primary) == before
    assert len(links(home.primary)) == len(FILES)
    assert files_of(home.secondary) == []
    assert tree(load_offline(home, home.primary, REPO)) == FILES
    assert violations(shelf) == []


def test_pulling_there_stores_once(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A pull there leaves no blob beside its file, and a second pull asks for nothing."""
    hub.add_repo(REPO, FILES)

    shelf.register("m", REPO, "secondary")

    check_plain(home, shelf)
    before = hub.bytes_sent
    shelf.pull("m")
    assert hub.bytes_sent == before
    check_plain(home, shelf)


def test_what_lies_there_is_not_copied_again(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A move to a whole snapshot there transfers nothing; a wrong file there is set aside."""
    hub.add_repo(REPO, FILES)
    shelf.register("there", REPO, "secondary")
    shelf.register("m", REPO)
    assert shelf.services.mover.plan("m", "secondary", None, keep_source=False).transfer_bytes == 0
    weights = shelf.path("there") / "model.safetensors"
    weights.write_bytes(WEIGHTS[::-1])
    os.utime(weights, (2_000_000_000, 2_000_000_000))  # this disk's times have a coarse resolution

    shelf.move("m", "secondary")

    assert [path.read_bytes() for path in Base(home.secondary).quarantine.iterdir()] == [WEIGHTS[::-1]]
    check_plain(home, shelf)


def test_a_file_of_another_size_is_set_aside(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A truncated file in the snapshot is replaced and kept in quarantine."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "secondary")
    weights = shelf.path("m") / "model.safetensors"
    weights.write_bytes(b"cut")

    shelf.pull("m")

    assert [path.read_bytes() for path in Base(home.secondary).quarantine.iterdir()] == [b"cut"]
    check_plain(home, shelf)


def test_removing_there_leaves_nothing(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Removing a model there deletes its files, and another revision's stay."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "secondary")
    hub.add_repo(REPO, NEW)
    shelf.register("new", REPO, "secondary")

    shelf.remove("m", delete_files=True)

    assert tree(shelf.path("new")) == NEW
    shelf.remove("new", delete_files=True)
    assert files_of(home.secondary) == []


def test_a_second_name_for_the_same_bytes_counts(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Two files of one content take room twice there, which is reserved before anything is written."""
    twice = {"a.bin": WEIGHTS, "b.bin": WEIGHTS}
    hub.add_repo("org/twice", twice)

    shelf.register("twice", "org/twice", "secondary", download=False)
    with home.open(SECONDARY_CACHE_LIMIT_GB="0.012") as limited, pytest.raises(OutOfSpace) as refused:
        limited.pull("twice")

    beside = beside_bytes(shelf.services.library.files(shelf.services.library.row("twice")))
    assert refused.value.fields["needed_bytes"] == 2 * len(WEIGHTS) + beside
    with home.open() as free:
        free.pull("twice")
        assert tree(free.path("twice")) == twice


def test_what_huggingface_hub_wrote_without_links_moves(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Real files from `hf download` with HF_HUB_DISABLE_SYMLINKS become blobs and links on an ordinary disk."""
    hub.add_repo(REPO, FILES)
    # one worker: without links two threads of huggingface_hub lose shared content to each other
    home.hf(home.secondary, "download", REPO, "--max-workers", "1", **NO_SYMLINKS).checked()
    before = hub.bytes_sent

    shelf.register("m", REPO, "secondary")
    shelf.move("m", "primary")

    assert hub.bytes_sent == before
    assert len(links(home.primary)) == len(FILES)
    assert files_of(home.secondary) == []
    assert violations(shelf) == []


def test_the_setting_of_huggingface_hub_is_honoured(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """With HF_HUB_DISABLE_SYMLINKS no tier gets links, and the recorded probe stays unchanged."""
    hub.add_repo(REPO, FILES)

    home.run("add", "m", REPO, **NO_SYMLINKS).checked()

    assert links(home.primary) == []
    assert tree(shelf.path("m")) == FILES
    assert capabilities.of(Base(home.primary)).symlinks
    assert violations(shelf) == []
