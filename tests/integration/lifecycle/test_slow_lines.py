"""Slow and broken lines: received bytes are kept, dead connections are dropped, and nothing is fetched twice."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from modelshelf.domain.jobs import DOWNLOADING, Job
from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.errors import Unavailable
from modelshelf.hub import ranges
from modelshelf.services.jobs.worker import Worker
from modelshelf.services.lifecycle import line, open_streams
from modelshelf.services.lifecycle.rate_limit import part_of_limit
from modelshelf.services.shelf import Shelf
from tests.disks import kept_segments
from tests.fakes.clock import FakeClock
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.fakes.line import Faults, line_to
from tests.invariants import violations
from tests.world import MIB, Home, random_bytes, tree, wait_until

REPO = "org/name"
WEIGHTS = random_bytes(20 * MIB + 17)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS}
TOTAL = sum(map(len, FILES.values()))
HEADS = 100_000
"""The most that all answers have beside the files' bytes."""


def test_cuts_cost_no_byte(hub: FakeHub, home: Home) -> None:
    """If the line is cut every 700,000 bytes, each byte is sent once, because a new connection continues."""
    hub.add_repo(REPO, FILES)
    with line_to(hub.url, Faults(cut_every_bytes=700_000)) as cut, home.open(HF_ENDPOINT=cut.url) as shelf:
        shelf.register("m", REPO)

        assert tree(shelf.path("m")) == FILES
        assert cut.connections >= TOTAL // 700_000
        assert cut.down_bytes <= TOTAL * 1.01 + HEADS
        assert violations(shelf) == []


def test_a_slow_line_is_asked_by_few_streams(hub: FakeHub, home: Home) -> None:
    """On a slow line no more streams are opened than it is worth."""
    hub.add_repo(REPO, {"model.safetensors": WEIGHTS[: 3 * MIB]})
    faults = Faults(rate_bytes_per_s=1_000_000, delay_s=0.1)
    with line_to(hub.url, faults) as slow, home.open(HF_ENDPOINT=slow.url) as shelf:
        shelf.register("m", REPO)

        assert slow.connections <= 4
        assert slow.down_bytes <= 3 * MIB + HEADS


def test_a_killed_pull_on_a_slow_line_keeps_its_segments(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """After a kill, segments in the map aren't asked for again."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    with line_to(hub.url, Faults(rate_bytes_per_s=3_000_000)) as slow:
        child = home.start("pull", "m", HF_ENDPOINT=slow.url)
        wait_until(lambda: kept_segments(home) >= 6, "segments to be kept")
        child.kill()
    kept_bytes = kept_segments(home) * SEGMENT_BYTES
    hub.stop()  # don't count what it holds for dead connections
    hub.start()
    before = hub.bytes_sent

    shelf.pull("m")

    assert hub.bytes_sent - before <= TOTAL - kept_bytes
    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


@pytest.mark.parametrize("stall_after_bytes", [2 * MIB, 0], ids=["in the middle", "before an answer"])
def test_a_stalled_connection_is_left_for_another_address(
    hub: FakeHub, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, stall_after_bytes: int
) -> None:
    """A stalled connection is dropped, and the hub is asked for the file's address again for the missing bytes."""
    monkeypatch.setattr(open_streams, "STALL_S", 0.5)
    monkeypatch.setattr(ranges, "_HEAD_S", 2.0)
    hub.add_repo(REPO, FILES)
    with line_to(hub.url, Faults(stall_after_bytes=stall_after_bytes, stalls=99)) as stalls:
        place = f"/cdn/{Blob.of(WEIGHTS, lfs=True).digest}"
        hub.fail("*/resolve/*/model.safetensors", method="GET", redirect_to=f"{stalls.url}{place}", times=1)

        shelf.register("m", REPO)

        assert stalls.connections >= 1
        assert stalls.down_bytes <= 99 * 2 * MIB
    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


def test_a_stall_is_shown(hub: FakeHub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled job's row says for how long nothing arrived, until it goes on."""
    monkeypatch.setattr(line, "_SILENCE_S", 0.1)
    monkeypatch.setattr(open_streams, "STALL_S", 4.0)
    hub.add_repo(REPO, FILES)
    faults = Faults(stall_after_bytes=MIB, stalls=99)
    with line_to(hub.url, faults) as stalls, home.open(HF_ENDPOINT=stalls.url) as shelf:
        shelf.register("m", REPO, download=False)
        job = shelf.services.registrar.enqueue_pull("m")
        worker = Worker(shelf.services.runner)
        worker.start()
        said = wait_until(lambda: shelf.services.registry.job(job.id).detail, "the silence to be told")
        faults.stalls = 0
        wait_until(lambda: shelf.model("m").state == "ready", "the model to be ready")
        worker.stop()

        assert said.startswith("No data for ")
        assert shelf.services.registry.job(job.id).detail == ""
        assert tree(shelf.path("m")) == FILES


def test_a_limit_is_shared_by_the_processes_that_download(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Processes share a rate limit by their number of downloads; a killed one has no share."""
    hub.add_repo(REPO, FILES)
    hub.add_repo("org/other", {"model.safetensors": random_bytes(MIB, seed=5)})
    shelf.register("m", REPO, download=False)
    shelf.register("other", "org/other", download=False)
    registry, owner = shelf.services.registry, shelf.services.runner.owner
    hub.pause()
    children = [home.start("pull", name) for name in ("m", "other")]
    jobs = wait_until(lambda: [job for job in registry.jobs() if job.phase == DOWNLOADING][1:], "both to download")

    assert [part_of_limit(registry, owner), part_of_limit(registry, jobs[0].owner)] == pytest.approx([1 / 3, 1 / 2])
    for child in children:
        child.kill()
    assert part_of_limit(registry, owner) == 1


def test_ctrl_c_does_not_wait_for_a_rate_limit(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Ctrl-C ends a pull at once, even if the rate limit would need a minute for the bytes in hand."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    child = home.start("pull", "m", SHELF_DOWNLOAD_LIMIT="15 kB/s")
    incoming = home.primary / "modelshelf/incoming"
    wait_until(lambda: any(part.stat().st_size for part in incoming.glob("*.part")), "bytes to be written")

    child.process.send_signal(signal.SIGINT)

    assert child.finish(timeout_s=20).code == 130
    assert [job.state for job in shelf.services.registry.jobs()] == ["queued"]


@pytest.mark.parametrize("stall_after_bytes", [2 * MIB, 0], ids=["in the middle", "before an answer"])
@pytest.mark.parametrize("limit", ["", "15 kB/s"], ids=["no limit", "a limit"])
def test_ctrl_c_does_not_wait_for_a_stalled_line(
    hub: FakeHub, home: Home, shelf: Shelf, stall_after_bytes: int, limit: str
) -> None:
    """The process is gone while the line is still held, which nobody ever lets go; what arrived is for the next one."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    with line_to(hub.url, Faults(stall_after_bytes=stall_after_bytes, stalls=99)) as stalls:
        hub.fail("*/resolve/*/model.safetensors", redirect_to=f"{stalls.url}/cdn/{Blob.of(WEIGHTS, lfs=True).digest}")
        child = home.start("pull", "m", SHELF_DOWNLOAD_LIMIT=limit)
        wait_until(lambda: stalls.connections and stalls.down_bytes >= stall_after_bytes, "the line to stall")

        child.process.send_signal(signal.SIGINT)

        assert child.finish().code == 130
    assert [job.state for job in shelf.services.registry.jobs()] == ["queued"]
    assert violations(shelf) == []


def test_ctrl_c_does_not_wait_for_a_hub_that_never_answers(hub: FakeHub, home: Home) -> None:
    """Who asks what a model is, over a line that brings nothing, may leave too."""
    with line_to(hub.url, Faults(stalls=99)) as stalls:
        child = home.start("add", "m", REPO, HF_ENDPOINT=stalls.url)
        wait_until(lambda: stalls.connections, "the hub to be asked")

        child.process.send_signal(signal.SIGINT)

        assert child.finish().code == 130


DEAF = """
import socket, sys, time
def look_up(*asked, **more):
    open(sys.argv[-1], "w").close()
    while True:
        try:
            time.sleep(3600)
        except KeyboardInterrupt:  # as the system's look-up does
            pass
socket.getaddrinfo = look_up
from modelshelf.cli.main import main
main(sys.argv[1:-1])
"""


def test_ctrl_c_does_not_wait_for_a_name_server(home: Home, tmp_path: Path) -> None:
    """Where the look-up of the hub's name hears no signal, it is left behind."""
    asked = tmp_path / "asked"
    child = home.start_program(sys.executable, "-c", DEAF, "add", "m", REPO, str(asked))
    wait_until(asked.exists, "the name to be looked up")

    child.process.send_signal(signal.SIGINT)

    assert child.finish().code == 130


def hours_away(clock: FakeClock, least_s: int, most_s: int) -> str:
    """Return hours that begin and end so many seconds from now."""
    ends = (time.localtime(clock.now() + later_s) for later_s in (least_s, most_s))
    return "-".join(time.strftime("%H:%M", end) for end in ends)


def test_outside_of_the_hours_a_download_waits_and_says_until_when(hub: FakeHub, home: Home) -> None:
    """Outside the hours nothing is fetched or evicted; the job says until when, and runs once they begin."""
    clock = FakeClock()
    hub.add_repo(REPO, FILES)
    with home.open(clock, SHELF_DOWNLOAD_HOURS=hours_away(clock, 3600, 7200)) as shelf:
        with pytest.raises(Unavailable, match=r"Downloads wait until \d\d:\d\d \(SHELF_DOWNLOAD_HOURS=") as waits:
            shelf.register("m", REPO)
        (job,) = shelf.services.registry.jobs()
        assert (job.state, job.detail, hub.bytes_sent) == ("waiting", waits.value.detail, 0)
        assert shelf.services.registry.reservations.all() == []

        clock.now_s += 3600
        assert shelf.pull("m").state == "ready"


def test_hours_that_end_stop_a_download_where_it_is(hub: FakeHub, home: Home) -> None:
    """A download stops when the hours end, keeps its bytes, and waits for the next ones."""
    clock = FakeClock()
    hub.add_repo(REPO, FILES)
    with home.open(clock, SHELF_DOWNLOAD_HOURS=hours_away(clock, -3600, 7200)) as shelf:
        hub.pause(after_bytes=5 * MIB)
        shelf.register("m", REPO, download=False)
        shelf.services.registrar.enqueue_pull("m")
        worker = Worker(shelf.services.runner)
        worker.start()
        wait_until(lambda: kept_segments(home) >= 4, "segments to be kept")

        clock.now_s += 7200
        wait_until(lambda: shelf.services.registry.jobs()[0].state == "waiting", "the job to wait")
        worker.stop()

        assert "Downloads wait until" in shelf.services.registry.jobs()[0].detail
        assert kept_segments(home) >= 4
        hub.resume()
        shelf.services.hours.ignore()
        assert tree(Path(shelf.pull("m").path or "")) == FILES


def test_a_command_says_that_it_waits_for_the_hours_and_now_does_not(hub: FakeHub, home: Home) -> None:
    """A command outside the hours says until when it waits, and how to download now."""
    hub.add_repo(REPO, FILES)
    hours = {"SHELF_DOWNLOAD_HOURS": hours_away(FakeClock(time.time()), 7200, 10800)}
    child = home.start("add", "m", REPO, **hours)
    wait_until(lambda: any(job.state == "waiting" for job in jobs_of(home)), "the job to wait")

    child.process.send_signal(signal.SIGINT)
    ended = child.finish(timeout_s=20)

    assert (ended.code, "--now" in ended.err, hub.bytes_sent) == (130, True, 0)
    assert home.run("pull", "m", "--now", **hours).checked().code == 0
    with home.open() as shelf:
        assert tree(shelf.path("m")) == FILES


def jobs_of(home: Home) -> list[Job]:
    """Return the jobs of a library that another process has opened or is about to open."""
    with home.open() as shelf:
        return shelf.services.registry.jobs()
