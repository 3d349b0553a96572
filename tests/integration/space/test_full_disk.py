"""A full disk, with or without a limit: a clear error, nothing half registered, and a way on."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry
from modelshelf.domain.plans import beside_bytes
from modelshelf.errors import OutOfSpace
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.store import mounts
from tests.world import MIB, Home, random_bytes, tree, wait_until

REPO = "org/name"
DISK_BYTES = 64 * MIB
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(40 * MIB)}


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Mount a small file system; skip the test where that isn't allowed."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def disk(home: Home) -> Iterator[Path]:
    """A custom base on a small disk; the registry is on a large one."""
    with small_disk(home.custom) as place:
        yield place


def fill(disk: Path) -> Path:
    """Fill a disk despite other writers; return the file that fills it."""
    filler = disk / "of-somebody-else"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65536)):
            pass
    return filler


def test_what_a_disk_cannot_hold_is_refused_before_the_first_byte(
    hub: FakeHub, home: Home, shelf: Shelf, disk: Path
) -> None:
    """Without a limit, a pull that exceeds the disk is refused before the first byte, with the free bytes."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(DISK_BYTES)})

    with pytest.raises(OutOfSpace) as refused:
        shelf.register("m", REPO, "custom", str(disk))

    needed_bytes = DISK_BYTES + beside_bytes([FileEntry("model.safetensors", DISK_BYTES, "")])
    assert refused.value.fields["needed_bytes"] == needed_bytes
    free_bytes = refused.value.fields["free_bytes"]
    assert isinstance(free_bytes, int)
    assert free_bytes <= DISK_BYTES
    assert list(disk.iterdir()) == []
    assert (shelf.models(), hub.bytes_sent) == ([], 0)


def test_a_disk_that_somebody_else_fills_ends_the_pull_cleanly(
    hub: FakeHub, home: Home, shelf: Shelf, disk: Path
) -> None:
    """ENOSPC during a pull is OutOfSpace with exit code 8; the bytes stay, and with space a pull fetches the rest."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "custom", str(disk), download=False)
    hub.pause(after_bytes=10 * MIB)
    child = home.start("pull", "m", "--json")
    hub.wait_for_bytes(10 * MIB)
    filler = fill(disk)
    hub.resume()

    ended = child.finish()

    assert (ended.code, ended.out) == (OutOfSpace.exit_code, "")
    assert "disk is full" in ended.problem["detail"]
    assert (shelf.model("m").state, shelf.services.registry.reservations.all()) == ("failed", [])
    assert list(disk.glob("hub/models--*/snapshots/*")) == []
    assert violations(shelf) == []
    filler.unlink()
    shelf.pull("m")
    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


def test_a_full_disk_that_has_the_registry_on_it_ends_the_pull_cleanly(hub: FakeHub, home: Home) -> None:
    """If the registry itself can't be written, the error is the same, and with space the next pull completes."""
    hub.add_repo(REPO, FILES)
    with small_disk(home.primary):
        home.run("add", "m", REPO, "--no-download").checked()
        hub.pause(after_bytes=10 * MIB)
        child = home.start("pull", "m")
        hub.wait_for_bytes(10 * MIB)
        filler = fill(home.primary)
        hub.resume()

        ended, again = child.finish(), home.run("pull", "m")

        assert [(result.code, result.out) for result in (ended, again)] == [(OutOfSpace.exit_code, "")] * 2
        assert "Traceback" not in ended.err + again.err
        assert home.run("ls").code == 0
        filler.unlink()
        home.run("pull", "m").checked()
        with home.open() as shelf:
            assert tree(shelf.path("m")) == FILES
            assert (shelf.services.registry.reservations.all(), violations(shelf)) == ([], [])


def test_the_last_links_on_a_full_disk_leave_no_half_model(hub: FakeHub, home: Home, shelf: Shelf, disk: Path) -> None:
    """If the bytes fit and their links don't, the model isn't ready; with space it is, and nothing is fetched twice."""
    hub.add_repo(REPO, {f"f{i}.safetensors": random_bytes(MIB, seed=i) for i in range(10)})
    shelf.register("m", REPO, "custom", str(disk), download=False)
    hub.fail("/api/*", delay_s=3)  # linking asks the hub once more
    child = home.start("pull", "m")
    blobs = disk / "hub/models--org--name/blobs"
    wait_until(lambda: len(list(blobs.glob("*"))) == 10, "every blob to have its name")
    filler = fill(disk)

    ended = child.finish()
    hub.heal()

    assert shelf.model("m").state == ("ready" if ended.code == 0 else "failed")
    assert "Traceback" not in ended.err
    assert violations(shelf) == []
    filler.unlink()
    sent = hub.bytes_sent
    shelf.pull("m")
    assert (shelf.model("m").state, hub.bytes_sent) == ("ready", sent)
    assert violations(shelf) == []


def test_two_tiers_on_one_disk_share_its_space(hub: FakeHub, home: Home, shelf: Shelf, disk: Path) -> None:
    """Bytes reserved on one tier count on another tier of the same disk."""
    for name in ("a", "b"):
        hub.add_repo(f"org/{name}", {"model.safetensors": random_bytes(40 * MIB, seed=ord(name))})
        shelf.register(name, f"org/{name}", "custom", str(disk / name), download=False)
    hub.pause()
    child = home.start("pull", "a")
    wait_until(shelf.services.registry.reservations.all, "the reservation")

    with pytest.raises(OutOfSpace):
        shelf.pull("b")

    hub.resume()
    child.finish().checked()
    assert (shelf.model("a").state, shelf.model("b").state) == ("ready", "failed")
    assert violations(shelf) == []


@pytest.mark.parametrize("mode", ["leave", "move"])
def test_adopting_onto_a_disk_without_entries_left_is_refused(hub: FakeHub, home: Home, mode: str) -> None:
    """Adopting onto a disk with too few inodes is refused with both numbers before anything changes."""
    hub.add_repo(REPO, {f"{number}.json": b"{%d}" % number for number in range(40)})
    home.hf(home.root / "found", "download", REPO).checked()
    with mounts.small_disk(home.root / "disk", DISK_BYTES, "nr_inodes=155") as disk:
        if mode == "leave":
            subprocess.run(["cp", "-a", f"{home.root}/found/.", disk], check=True)
        path = disk if mode == "leave" else home.root / "found"
        before = tree(disk)

        refused = home.run("adopt", str(path), f"--{mode}", "--to", str(disk), "--json")

        assert refused.code == 8
        assert refused.problem["needed_entries"] > refused.problem["free_entries"]
        assert tree(disk) == before
