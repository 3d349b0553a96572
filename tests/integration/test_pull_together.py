"""Several processes that want the same bytes, ours and others, and what happens when one of them dies."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.errors import Cancelled, NotFound
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(20 * MIB), "tokenizer.json": random_bytes(90_000)}
TOTAL = sum(map(len, FILES.values()))


@pytest.fixture
def shelf(hub: FakeHub, shelf: Shelf) -> Shelf:
    """The library with one model that is not downloaded yet."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    return shelf


def test_two_processes_share_one_download(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Who comes second waits for the first and finds the model; the bytes come once."""
    hub.pause(after_bytes=5 * MIB)
    first = home.start("pull", "m", "--json")
    hub.wait_for_bytes(5 * MIB)
    second = home.start("pull", "m", "--json")
    wait_until(lambda: second.process.poll() is None and shelf.model("m").state == "downloading", "both at it")

    hub.resume()
    answers = [first.finish().checked().json, second.finish().checked().json]

    assert [answer["state"] for answer in answers] == ["ready", "ready"]
    assert len(shelf.registry.jobs()) == 1
    assert hub.bytes_sent == TOTAL
    assert violations(shelf) == []


def test_two_models_of_one_repository_share_its_blobs(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Two jobs over the same files at the same time fetch each blob once."""
    shelf.register("other", REPO, download=False)
    hub.pause(after_bytes=5 * MIB)
    children = [home.start("pull", "m"), home.start("pull", "other")]
    hub.wait_for_bytes(5 * MIB)
    wait_until(lambda: {m.state for m in shelf.models()} == {"downloading"}, "both to be at it")

    hub.resume()
    for child in children:
        child.finish().checked()

    assert [tree(shelf.path(name)) for name in ("m", "other")] == [FILES, FILES]
    assert hub.bytes_sent == TOTAL
    assert shelf.registry.reservations() == []
    assert violations(shelf) == []


@pytest.mark.parametrize("victim", [0, 1], ids=["the one that fetches", "the one that waits"])
def test_when_one_of_two_dies_the_other_completes(hub: FakeHub, home: Home, shelf: Shelf, victim: int) -> None:
    """Of two processes that pull one model either may be killed: the other brings it, from what is there."""
    hub.pause(after_bytes=12 * MIB)
    first = home.start("pull", "m")
    hub.wait_for_bytes(12 * MIB)
    children = [first, home.start("pull", "m")]
    before = len(hub.requests)

    children[victim].kill()
    if victim == 0:
        wait_until(lambda: len(hub.requests) > before, "the other to take over")
    hub.resume()
    children[1 - victim].finish().checked()

    assert tree(shelf.path("m")) == FILES
    assert shelf.registry.reservations() == []
    assert violations(shelf) == []


def test_hf_download_at_the_same_time_agrees(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """`hf download` into the base that we pull into completes, so do we, and both have the same files."""
    hub.pause(after_bytes=6 * MIB)
    ours = home.start("pull", "m")
    hub.wait_for_bytes(6 * MIB)
    theirs = home.start_hf(home.primary, "download", REPO)
    hub.resume()

    ours.finish().checked()
    theirs.finish().checked()

    assert tree(shelf.path("m")) == FILES
    assert load_offline(home, home.primary, REPO) == shelf.path("m")
    assert violations(shelf) == []


def test_hf_download_that_came_first_is_waited_for(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A blob that `hf download` is at is left to it, for it holds the hub's own lock."""
    hub.pause(after_bytes=6 * MIB)
    theirs = home.start_hf(home.primary, "download", REPO)
    hub.wait_for_bytes(6 * MIB)
    ours = home.start("pull", "m")
    wait_until(lambda: shelf.model("m").state == "downloading", "our pull to begin")
    hub.resume()

    theirs.finish().checked()
    ours.finish().checked()

    assert tree(shelf.path("m")) == FILES
    assert hub.bytes_sent <= TOTAL + len(FILES["tokenizer.json"]) + len(FILES["config.json"])
    assert violations(shelf) == []


def test_a_killed_hf_download_does_not_stand_in_the_way(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """What `hf download` leaves when it is killed, a pull completes beside."""
    hub.pause(after_bytes=6 * MIB)
    theirs = home.start_hf(home.primary, "download", REPO)
    hub.wait_for_bytes(6 * MIB)
    theirs.kill()
    hub.resume()

    shelf.pull("m")

    assert tree(shelf.path("m")) == FILES
    assert shelf.tiers()[0].usage.breakdown["partial"] > 0
    assert violations(shelf) == []


def test_many_threads_get_one_download(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Twelve callers with libraries of their own get one job and one set of bytes."""
    failures: list[BaseException] = []

    def pull() -> None:
        try:
            with home.open() as mine:
                mine.pull("m")
        except BaseException as err:  # noqa: BLE001 - shown by the assertion below
            failures.append(err)

    threads = [threading.Thread(target=pull) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert (len(shelf.registry.jobs()), hub.bytes_sent) == (1, TOTAL)
    assert violations(shelf) == []


def test_a_cancelled_pull_stops_and_keeps_what_arrived(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Cancelling from elsewhere ends the process that pulls, and the next pull goes on from its segments."""
    hub.fail("*/model.safetensors", method="GET", rate_bytes_per_s=8 * MIB)
    child = home.start("pull", "m")
    hub.wait_for_bytes(SEGMENT_BYTES + MIB)

    job_id = shelf.model("m").row.job_id
    home.run("cancel", str(job_id)).checked()
    ended = child.finish()

    assert (ended.code, ended.out) == (130, "")
    assert shelf.registry.job(job_id or 0).state == "cancelled"
    assert shelf.registry.reservations() == []
    hub.heal()
    before = hub.bytes_sent
    shelf.pull("m")
    assert hub.bytes_sent - before < TOTAL
    assert violations(shelf) == []


def test_a_job_that_another_process_failed_raises_its_error(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Who waits for another process's job gets the same error as that process, with its exit code."""
    hub.fail("*/model.safetensors", method="GET", delay_s=3, times=1)
    hub.pause()
    first = home.start("pull", "m")
    wait_until(lambda: shelf.model("m").state == "downloading", "the first to begin")
    second = home.start("pull", "m")
    wait_until(lambda: Path(f"/proc/{second.process.pid}").exists(), "the second to begin")
    hub.heal()
    hub.fail("*/model.safetensors", method="GET", cut_after=0, times=1)
    hub.fail("*/model.safetensors", method="GET", status=404, error_code="EntryNotFound")
    hub.resume()

    codes = [first.finish().code, second.finish().code]

    assert codes == [NotFound.exit_code, NotFound.exit_code]


def test_a_waiter_is_told_of_a_cancellation(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Who waits for a job that is cancelled stops too."""
    hub.pause(after_bytes=MIB)
    child = home.start("pull", "m")
    hub.wait_for_bytes(MIB)
    threading.Timer(0.1, lambda: shelf.job_service.cancel(shelf.model("m").row.job_id or 0)).start()

    with pytest.raises(Cancelled):
        shelf.pull("m")

    hub.resume()
    child.finish()
