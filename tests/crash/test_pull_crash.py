"""A killed pull leaves garbage at worst: the next one completes, and fetches little twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.bootstrap.parts import STREAMS
from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.services.shelf import Shelf
from tests.crash.dying import DIED
from tests.disks import kept_segments
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, random_bytes, tree, wait_until

REPO = "org/name"
BIG_BYTES = 160 * MIB
SMALL = {
    "config.json": b"{}",
    "empty.txt": b"",
    "model-1.safetensors": random_bytes(2 * SEGMENT_BYTES + 5, seed=1),
    "model-2.safetensors": random_bytes(SEGMENT_BYTES, seed=2),
    "sub/tokenizer.json": random_bytes(50_000, seed=3),
}


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of many segments, so that a crash's cost can be told from the whole."""
    path = tmp_path_factory.mktemp("big") / "model.safetensors"
    with path.open("wb") as file:
        for seed in range(BIG_BYTES // (16 * MIB)):
            file.write(random_bytes(16 * MIB, seed))
    yield path
    path.unlink()


_DIES_AT_ITS_FIRST_LINK = """
import os, signal, sys
from modelshelf.cli.main import main

def hook(event, arguments):
    if event == "os.symlink" and "blobs/" in os.fsdecode(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
main(sys.argv[1:])
"""


def pull_and_kill(hub: FakeHub, home: Home, after_bytes: int) -> None:
    """Kill a pulling process once it has read what the hub was allowed to send."""
    before = kept_segments(home)
    hub.pause(after_bytes)
    start = hub.bytes_sent
    child = home.start("pull", "m")
    hub.wait_for_bytes(start + after_bytes)
    read = -(-after_bytes // SEGMENT_BYTES) - STREAMS  # once everything is read, each stream holds less than a segment
    wait_until(lambda: kept_segments(home) - before >= read, "the streams to read what was sent")
    child.kill()
    hub.stop()  # don't count a held answer as sent to a dead process
    hub.resume()
    hub.start()


@pytest.mark.parametrize("after_bytes", [1, 37 * MIB, 101 * MIB, BIG_BYTES - 1], ids=lambda n: f"after {n} bytes")
def test_a_killed_pull_fetches_at_most_a_segment_per_stream_again(
    hub: FakeHub, home: Home, shelf: Shelf, big_file: Path, after_bytes: int
) -> None:
    """After a kill at most a segment per stream is fetched again, however much had arrived."""
    hub.add_repo(REPO, {"model.safetensors": big_file})
    shelf.register("m", REPO, download=False)

    pull_and_kill(hub, home, after_bytes)

    assert violations(shelf) == []
    shelf.pull("m")
    again = hub.bytes_sent - BIG_BYTES
    assert again <= min(after_bytes, STREAMS * SEGMENT_BYTES)
    assert shelf.model("m").state == "ready"
    assert violations(shelf) == []


def test_crash_after_crash_goes_forward(hub: FakeHub, home: Home, shelf: Shelf, big_file: Path) -> None:
    """A pull that is killed again and again still completes, and no crash costs more than its process fetched."""
    hub.add_repo(REPO, {"model.safetensors": big_file})
    shelf.register("m", REPO, download=False)

    for _ in range(3):
        pull_and_kill(hub, home, 45 * MIB)
        assert violations(shelf) == []
    shelf.pull("m")

    assert hub.bytes_sent - BIG_BYTES <= 3 * 45 * MIB
    assert (shelf.path("m") / "model.safetensors").stat().st_size == BIG_BYTES
    assert violations(shelf) == []


@pytest.mark.parametrize(
    "after_bytes",
    [1, SEGMENT_BYTES - 1, SEGMENT_BYTES + 7, sum(map(len, SMALL.values())) - 1],
    ids=lambda n: f"after {n} bytes",
)
def test_what_a_killed_pull_left_is_not_a_model(hub: FakeHub, home: Home, shelf: Shelf, after_bytes: int) -> None:
    """Between a crash and the next pull nothing calls the model ready, and every tool finds it incomplete."""
    hub.add_repo(REPO, SMALL)
    shelf.register("m", REPO, download=False)

    pull_and_kill(hub, home, after_bytes)

    assert shelf.model("m").state != "ready"
    assert home.run("path", "m").code == 5
    assert violations(shelf) == []


def test_a_reservation_dies_with_its_process(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """After a crash the reserved room is free for the next process, which also runs the job."""
    hub.add_repo(REPO, SMALL)
    shelf.register("m", REPO, download=False)

    pull_and_kill(hub, home, 2 * SEGMENT_BYTES)

    assert len(shelf.services.registry.reservations.all()) == 1
    shelf.pull("m")
    assert shelf.services.registry.reservations.all() == []
    assert [job.state for job in shelf.services.registry.jobs()] == ["done"]


def test_a_crash_in_the_last_instants_is_one_pull_away_from_ready(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """If a pull is killed before linking, the next one fetches nothing."""
    hub.add_repo(REPO, SMALL)
    shelf.register("m", REPO, download=False)
    total = sum(map(len, SMALL.values()))

    assert home.python(_DIES_AT_ITS_FIRST_LINK, "pull", "m").code == DIED

    assert {blob.stat().st_size for blob in (home.primary / "hub/models--org--name/blobs").glob("*")} == {
        len(content) for content in SMALL.values()
    }
    assert shelf.model("m").state != "ready"
    assert violations(shelf) == []
    shelf.pull("m")
    assert hub.bytes_sent == total
    assert tree(shelf.path("m")) == SMALL
    assert violations(shelf) == []


def test_what_a_killed_pull_left_can_be_removed(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A job that nobody runs doesn't keep `shelf rm` from removing its model."""
    hub.add_repo(REPO, SMALL)
    shelf.register("m", REPO, download=False)
    pull_and_kill(hub, home, 2 * SEGMENT_BYTES)

    shelf.remove("m", delete_files=True)

    assert shelf.models() == []
    assert list((home.primary / "modelshelf/incoming").glob("*.part")) == []


def test_a_killed_pull_is_not_called_downloading(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A model whose download process died isn't listed as downloading."""
    hub.add_repo(REPO, SMALL)
    shelf.register("m", REPO, download=False)
    pull_and_kill(hub, home, 2 * SEGMENT_BYTES)

    shown = home.run("show", "m", "--json").checked().json

    assert (shown["state"], "died" in shown["detail"]) == ("queued", True)
