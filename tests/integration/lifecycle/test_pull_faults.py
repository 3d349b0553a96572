"""How a pull handles every fault of a hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.bootstrap.shelf import SystemClock
from modelshelf.domain.plans import LEAST_RUN_SEGMENTS, SEGMENT_BYTES
from modelshelf.errors import Denied, NotFound, ShelfError, Unavailable
from modelshelf.services.jobs.worker import Worker
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.invariants import violations
from tests.world import MIB, Home, random_bytes, tree, wait_until

REPO = "org/name"
RUN_BYTES = LEAST_RUN_SEGMENTS * SEGMENT_BYTES
BIG = random_bytes(3 * RUN_BYTES + 12_345)
FILES = {"config.json": b"{}", "empty.txt": b"", "model.safetensors": BIG}


class FastClock(SystemClock):
    """Real time plus what was slept, so that nobody waits; sleeps are recorded."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def now(self) -> float:
        """Return real time plus what was slept."""
        return super().now() + self.slept_s

    def sleep(self, duration_s: float) -> None:
        """Advance without waiting."""
        self.slept_s += duration_s


@pytest.fixture
def clock() -> FastClock:
    """A clock on which sleeps take no time."""
    return FastClock()


@pytest.fixture
def shelf(home: Home, clock: FastClock) -> Iterator[Shelf]:
    """The library, without pauses between tries."""
    with home.open(clock) as opened:
        yield opened


def pulled(shelf: Shelf) -> dict[str, bytes]:
    """Register and pull the model; return its files."""
    path = shelf.register("m", REPO).path
    assert violations(shelf) == []
    return tree(Path(path or ""))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 503, "times": 3}, id="three 503"),
        pytest.param({"status": 429, "headers": {"Retry-After": "7"}, "times": 2}, id="429 with Retry-After"),
        pytest.param({"status": 500, "times": 1}, id="500"),
        pytest.param({"status": 408, "times": 1}, id="408"),
        pytest.param({"cut_after": 0, "times": 2}, id="cut before the first byte"),
        pytest.param({"cut_after": 5_000_000, "times": 3}, id="cut within a segment"),
        pytest.param({"cut_after": SEGMENT_BYTES, "times": 3}, id="cut between segments"),
        pytest.param({"truncate": True, "times": 1}, id="half a file that calls itself whole"),
        pytest.param({"corrupt_at": 2 * RUN_BYTES, "times": 1}, id="one flipped byte"),
        pytest.param({"no_ranges": True}, id="no ranges"),
        pytest.param({"no_ranges": True, "cut_after": 20_000_000, "times": 2}, id="no ranges and cut"),
        pytest.param({"redirect_to": "/cdn/{digest}"}, id="files elsewhere"),
        pytest.param({"delay_s": 0.3, "times": 4}, id="slow to answer"),
    ],
)
def test_a_pull_outlasts_a_fault_that_passes(hub: FakeHub, shelf: Shelf, fault: dict[str, object]) -> None:
    """After any passing fault one call still completes the model."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/resolve/*", method="GET", **fault)

    assert pulled(shelf) == FILES


def test_what_came_before_a_cut_is_not_asked_for_again(hub: FakeHub, shelf: Shelf) -> None:
    """A broken connection costs no byte: the next one continues at the same byte."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/model.safetensors", method="GET", cut_after=SEGMENT_BYTES - 1, times=2)

    assert pulled(shelf) == FILES
    assert hub.bytes_sent == sum(map(len, FILES.values()))


def test_a_hub_without_ranges_is_asked_once(hub: FakeHub, shelf: Shelf) -> None:
    """From a hub without ranges one stream takes the whole file."""
    hub.add_repo(REPO, FILES)
    hub.fail("*", no_ranges=True)

    assert pulled(shelf) == FILES
    assert hub.bytes_sent == len(BIG) + 2


def test_a_hub_that_stops_to_honour_ranges_costs_bytes_only(hub: FakeHub, shelf: Shelf) -> None:
    """If a hub ignores ranges after the first answer, every stream reads from the start and keeps its own segments."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/model.safetensors", method="GET", delay_s=0.01, times=1)
    hub.fail("*/model.safetensors", method="GET", no_ranges=True)

    assert pulled(shelf) == FILES


def test_the_hub_is_given_the_time_it_asks_for(hub: FakeHub, shelf: Shelf, clock: FastClock) -> None:
    """After a Retry-After the streams wait as long as it says, even if that exceeds the usual first pause."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/model.safetensors", method="GET", status=429, headers={"Retry-After": "40"}, times=1)

    assert pulled(shelf) == FILES
    assert clock.slept_s >= 10


def test_the_token_stays_with_the_hub(hub: FakeHub, home: Home) -> None:
    """The hub gets the token, and another origin that it redirects to doesn't."""
    hub.add_repo(REPO, FILES, gated=True)
    hub.fail("*/resolve/*", redirect_to="/cdn/{digest}")

    with home.open(FastClock(), HF_TOKEN=hub.token) as shelf:
        assert pulled(shelf) == FILES

    elsewhere = [request for request in hub.requests if request.path.startswith("/cdn/")]
    assert elsewhere
    assert [request.path for request in elsewhere if "authorization" in request.headers] == []


def test_an_expired_address_is_asked_for_anew(hub: FakeHub, shelf: Shelf) -> None:
    """If a storage address answers 403 after a while, the streams ask the hub for a new one."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/resolve/*", redirect_to="/cdn/{digest}")
    place = f"/cdn/{Blob.of(BIG, lfs=True).digest}"
    hub.fail(place, cut_after=SEGMENT_BYTES, times=1)
    hub.fail(place, status=403, times=1)

    assert pulled(shelf) == FILES


def test_a_hub_that_pages_its_tree_is_listed_whole(hub: FakeHub, shelf: Shelf) -> None:
    """A tree of several pages is listed whole."""
    files = {f"part-{i:02}.txt": f"{i}".encode() for i in range(23)}
    hub.add_repo(REPO, files)
    hub.page_size = 5

    assert pulled(shelf) == files


def test_sizes_that_the_list_hides_are_asked_for(hub: FakeHub, shelf: Shelf) -> None:
    """A size that the tree leaves out is taken from the file's headers."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/tree/*", no_size=True)

    assert pulled(shelf) == FILES


def test_without_a_size_nothing_is_fetched(hub: FakeHub, shelf: Shelf) -> None:
    """If a file's size is unknown, the pull names it and fetches nothing, because no limit could be kept."""
    hub.add_repo(REPO, FILES)
    hub.fail("*", no_size=True)

    with pytest.raises(Unavailable, match=r"size of \S+ in org/name"):
        shelf.register("m", REPO)

    assert hub.bytes_sent == 0


@pytest.mark.parametrize("cut_at", [0, 5 * MIB, 18 * MIB], ids=["first byte", "middle", "late"])
def test_a_hub_that_dies_leaves_a_job_that_waits(hub: FakeHub, home: Home, shelf: Shelf, cut_at: int) -> None:
    """If the hub dies the job waits, the bytes stay, and the next pull resumes."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    hub.pause(after_bytes=cut_at)
    worker = Worker(shelf.services.runner)
    shelf.services.registrar.enqueue_pull("m")
    worker.start()
    hub.wait_for_bytes(cut_at)

    hub.stop()
    model = wait_until(lambda: (m := shelf.model("m")).row.job_state == "waiting" and m, "the job to wait")
    worker.stop()

    assert (model.state, "isn't reachable" in model.detail) == ("registered", True)
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []
    hub.start()
    hub.resume()
    shelf.pull("m")
    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


def test_a_line_that_is_away_for_minutes_is_waited_for(hub: FakeHub, shelf: Shelf, clock: FastClock) -> None:
    """After the first bytes a pull waits minutes for the line; before, it gives up soon."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/model.safetensors", method="GET", cut_after=5 * SEGMENT_BYTES, no_ranges=True, times=1)
    hub.fail("*/model.safetensors", method="GET", status=503, times=12)

    assert pulled(shelf) == FILES
    assert 60 < clock.slept_s < 180


PAGE = {"body": b"<html>Welcome to the hotel</html>", "headers": {"Content-Type": "text/html; charset=utf-8"}}


@pytest.mark.parametrize("where", ["*/revision/*", "*/model.safetensors"], ids=["at first", "in the middle"])
def test_a_login_page_of_the_network_is_named_and_nothing_of_it_kept(hub: FakeHub, shelf: Shelf, where: str) -> None:
    """A login page in place of the hub is named and not stored, and the job waits."""
    hub.add_repo(REPO, FILES)
    hub.fail(where, method="GET", **PAGE)

    with pytest.raises(Unavailable, match=r"A web page came from 127\.0\.0\.1:\d+ .* sign in") as seen:
        shelf.register("m", REPO)

    assert "browser" in seen.value.hint
    hub.heal()
    assert pulled(shelf) == FILES
    assert hub.bytes_sent == sum(map(len, FILES.values()))


def test_what_arrived_before_the_hub_died_is_kept(hub: FakeHub, shelf: Shelf) -> None:
    """Segments that were complete when the hub died aren't fetched again."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/model.safetensors", method="GET", cut_after=5 * SEGMENT_BYTES + 1, no_ranges=True, times=1)
    hub.fail("*/model.safetensors", method="GET", status=503)
    with pytest.raises(Unavailable):
        shelf.register("m", REPO)
    hub.heal()
    before = hub.bytes_sent

    shelf.pull("m")

    assert hub.bytes_sent - before == len(BIG) - 5 * SEGMENT_BYTES
    assert tree(shelf.path("m")) == FILES


@pytest.mark.parametrize(
    ("fault", "kind", "state"),
    [
        pytest.param({"status": 403, "error_code": "GatedRepo"}, Denied, "failed", id="gated meanwhile"),
        pytest.param({"status": 403}, Denied, "failed", id="forbidden"),
        pytest.param({"status": 404, "error_code": "EntryNotFound"}, NotFound, "failed", id="gone"),
        pytest.param({"status": 502}, Unavailable, "registered", id="bad gateway"),
        pytest.param({"status": 429}, Unavailable, "registered", id="too many requests"),
        pytest.param({"cut_after": 100}, Unavailable, "registered", id="every connection cut"),
    ],
)
def test_a_fault_that_stays_ends_the_pull_with_its_reason(
    hub: FakeHub, shelf: Shelf, fault: dict[str, object], kind: type[ShelfError], state: str
) -> None:
    """A permanent fault fails the job and a passing one makes it wait; nothing is half there or reserved."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/resolve/*/model.safetensors", method="GET", **fault)

    with pytest.raises(kind):
        shelf.register("m", REPO)

    assert shelf.model("m").state == state
    assert shelf.model("m").detail
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def test_a_rate_limit_slows_all_streams_together(hub: FakeHub, home: Home) -> None:
    """Under a rate limit the bytes over the time slept keep the rate, for any number of streams."""
    clock = FastClock()
    hub.add_repo(REPO, FILES)

    with home.open(clock, SHELF_DOWNLOAD_LIMIT="4 MB/s") as shelf:
        assert pulled(shelf) == FILES

    assert clock.slept_s >= len(BIG) / 4e6 * 0.9
