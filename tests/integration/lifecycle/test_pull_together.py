"""Several processes want the same bytes, ours and others, and one of them may die."""

from __future__ import annotations

import signal
import threading

import pytest

from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.errors import Cancelled, NotFound, ShelfError
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import DEADLINE_S, MIB, Child, Home, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(20 * MIB), "tokenizer.json": random_bytes(90_000)}
TOTAL = sum(map(len, FILES.values()))


@pytest.fixture
def shelf(hub: FakeHub, shelf: Shelf) -> Shelf:
    """The library with one model that isn't downloaded."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    return shelf


class Waiter:
    """A second library that wants the model while another process downloads it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._waits = threading.Event()
        self._thread = threading.Thread(target=self._pull, daemon=True)
        self.outcome: object = None
        self._thread.start()
        assert self._waits.wait(DEADLINE_S)

    def _pull(self) -> None:
        with self._home.open() as mine:
            try:
                self.outcome = mine.pull("m", progress=lambda job: self._waits.set()).state.value
            except (ShelfError, Cancelled) as err:
                self.outcome = type(err)

    def finish(self) -> object:
        """Wait, and return the model's state or the error's class."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        return self.outcome


def paused_pull(hub: FakeHub, home: Home, after_bytes: int) -> Child:
    """Start a process that pulls; return when the hub holds back the rest."""
    hub.pause(after_bytes)
    child = home.start("pull", "m", "--json")
    hub.wait_for_bytes(after_bytes)
    return child


def test_who_comes_second_waits_and_shares(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A second process waits for the first one's download: one job, and each byte once."""
    child = paused_pull(hub, home, 5 * MIB)
    waiter = Waiter(home)

    hub.resume()

    assert waiter.finish() == "ready"
    assert child.finish().checked().json["state"] == "ready"
    assert (len(shelf.services.registry.jobs()), hub.bytes_sent) == (1, TOTAL)
    assert violations(shelf) == []


def test_two_models_of_one_repository_share_its_blobs(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Two concurrent jobs for the same files fetch each blob once."""
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
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def test_when_the_process_that_fetches_dies_the_waiter_completes(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """If the downloading process dies, the waiting one takes over the job and resumes."""
    child = paused_pull(hub, home, 12 * MIB)
    waiter = Waiter(home)

    child.kill()
    hub.resume()

    assert waiter.finish() == "ready"
    assert (len(shelf.services.registry.jobs()), tree(shelf.path("m"))) == (1, FILES)
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def test_when_the_process_that_waits_dies_the_other_completes(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """If the waiting process dies, the downloading one isn't affected."""
    first = paused_pull(hub, home, 12 * MIB)
    shelf.register("other", REPO, download=False)
    second = home.start("pull", "other")
    wait_until(lambda: shelf.model("other").state == "downloading", "the second to wait for the blob")

    second.kill()
    hub.resume()
    first.finish().checked()

    assert tree(shelf.path("m")) == FILES
    shelf.pull("other")
    assert (hub.bytes_sent, shelf.services.registry.reservations.all()) == (TOTAL, [])
    assert violations(shelf) == []


def test_hf_download_at_the_same_time_agrees(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """`hf download` into the same base at the same time and our pull both complete with the same files."""
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
    """A pull waits for a blob that `hf download` is fetching, because that holds the hub's own lock."""
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
    """A pull completes beside the leftovers of a killed `hf download`."""
    hub.pause(after_bytes=6 * MIB)
    theirs = home.start_hf(home.primary, "download", REPO)
    hub.wait_for_bytes(6 * MIB)
    theirs.kill()
    left = list(home.primary.glob("hub/models--org--name/blobs/*.incomplete"))
    hub.resume()

    shelf.pull("m")

    assert tree(shelf.path("m")) == FILES
    assert left != []
    assert [path for path in left if not path.exists()] == []
    assert violations(shelf) == []


def test_many_threads_get_one_download(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Twelve callers, each with a library object, fetch each byte once."""
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
    assert ({job.state for job in shelf.services.registry.jobs()}, hub.bytes_sent) == ({"done"}, TOTAL)
    assert violations(shelf) == []


def test_a_cancelled_pull_stops_and_keeps_what_arrived(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Cancelling from another process ends the pull soon, even while the hub sends nothing."""
    child = paused_pull(hub, home, SEGMENT_BYTES + MIB)
    waiter = Waiter(home)

    job = shelf.services.steering.cancel(shelf.model("m").row.job_id or 0)
    ended = child.finish(timeout_s=20)

    assert (ended.code, ended.out, job.state) == (130, "", "cancelled")
    assert waiter.finish() is Cancelled
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []
    hub.resume()
    shelf.pull("m")
    assert tree(shelf.path("m")) == FILES


def test_ctrl_c_leaves_the_job_in_the_queue(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Ctrl-C ends `shelf pull` at once; the job stays queued, and its reservation is released."""
    child = paused_pull(hub, home, SEGMENT_BYTES + MIB)

    child.process.send_signal(signal.SIGINT)
    ended = child.finish(timeout_s=20)

    assert (ended.code, ended.out) == (130, "")
    assert "run the same command again" in ended.err
    assert [job.state for job in shelf.services.registry.jobs()] == ["queued"]
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def test_a_waiter_gets_the_error_of_the_process_that_failed(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A process that waits for another's job fails with the same error class and exit code."""
    hub.fail("*/model.safetensors", method="GET", cut_after=MIB, times=1)
    hub.fail("*/model.safetensors", method="GET", status=404, error_code="EntryNotFound")
    hub.pause()
    child = home.start("pull", "m")
    wait_until(lambda: shelf.model("m").state == "downloading", "the first to begin")
    waiter = Waiter(home)

    hub.resume()

    assert child.finish().code == NotFound.exit_code
    assert waiter.finish() is NotFound
