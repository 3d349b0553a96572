"""`--detach` leaves a download to a server, or to a process that outlives the shell; nothing is fetched twice."""

from __future__ import annotations

import os
import signal

from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.services.jobs.process import is_alive
from modelshelf.services.shelf import Shelf
from tests.disks import kept_segments
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, random_bytes, wait_until

REPO = "org/name"
BIG = random_bytes(10 * SEGMENT_BYTES)


def test_a_download_outlives_its_shell(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Without a server the download goes on in a process of its own, in no session of the shell's, and then ends."""
    hub.add_repo(REPO, {"model.safetensors": BIG})
    hub.pause(after_bytes=SEGMENT_BYTES)

    left = home.run("add", "m", REPO, "--detach").checked()

    job = wait_until(lambda: next((j for j in shelf.jobs(unfinished=True) if j.owner), None), "a process to take it")
    pid = int(job.owner.split(":")[-2])
    assert os.getsid(pid) == pid
    assert f"job {job.id}. Follow it: shelf jobs --follow. Stop it: shelf jobs pause {job.id}" in left.err
    hub.resume()
    wait_until(lambda: shelf.job(job.id).state == "done", "the end of the job")
    wait_until(lambda: is_alive(job.owner) is False, "the process to end")
    assert shelf.model("m").state == "ready"
    assert violations(shelf) == []


def test_a_server_takes_a_detached_download(hub: FakeHub, home: Home) -> None:
    """A running server is named as who downloads, and no other process begins."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    with home.serve() as server:
        left = home.run("add", "m", REPO, "--detach", "--json").checked()
        pulled = home.run("pull", "m", "--detach").checked()
        server.wait_for_state("m", "ready")

    assert (left.json["model_name"], left.json["job_id"] is None) == ("m", False)
    assert f"The server at {server.url} downloads m" in pulled.err


def test_what_a_killed_worker_left_is_taken_up(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A detached download whose process is killed is the next command's, which fetches what is missing."""
    hub.add_repo(REPO, {"model.safetensors": BIG})
    hub.pause(after_bytes=9 * SEGMENT_BYTES)
    home.run("add", "m", REPO, "--detach").checked()
    job = wait_until(lambda: next((j for j in shelf.jobs(unfinished=True) if j.owner), None), "a process to take it")
    wait_until(lambda: kept_segments(home) >= 1, "a segment to be kept")
    os.kill(int(job.owner.split(":")[-2]), signal.SIGKILL)
    wait_until(lambda: is_alive(job.owner) is False, "the process to end")
    hub.stop()
    hub.resume()
    hub.start()
    before = hub.bytes_sent

    resumed = home.run("jobs", "resume", str(job.id)).checked()

    assert resumed.out == f"Job {job.id} is done.\n"
    assert hub.bytes_sent - before < len(BIG)
    assert violations(shelf) == []


def test_a_detached_download_waits_for_the_hub(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """While the hub is away the process waits with the job, and a pause ends it."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    home.run("add", "m", REPO, "--no-download").checked()
    hub.stop()
    home.run("pull", "m", "--detach").checked()
    job = wait_until(lambda: next((j for j in shelf.jobs() if j.state == "waiting"), None), "the job to wait")
    hub.start()

    wait_until(lambda: shelf.job(job.id).state == "done", "the job to be done")


def test_a_detached_download_is_not_this_shells(hub: FakeHub, home: Home) -> None:
    """--now is what this shell does at once, and can't be left to another process."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    home.run("add", "m", REPO, "--no-download").checked()

    assert home.run("pull", "m", "--detach", "--now").code == 2
