"""Jobs begin by their place in the queue, and one at a time writes to a slow disk, in all processes together."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from modelshelf.domain.plans import SEGMENT_BYTES
from tests.fakes.hub import FakeHub
from tests.integration.server.test_page import browse
from tests.invariants import violations
from tests.world import Home, Server, random_bytes, wait_until

REPO = "org/name"
BIG = random_bytes(10 * SEGMENT_BYTES)
NAMES = ("a", "b", "c")
TURN = "Waits for its turn (MAX_DOWNLOADS=1)."
ON_A_SLOW_DISK = 'mount --bind "$0" /sys/dev/block && exec "$@"'


@pytest.fixture
def stuck(hub: FakeHub) -> FakeHub:
    """A hub that stops in the middle of the first download until it is told to go on, with three small models more."""
    hub.add_repo(REPO, {"model.safetensors": BIG})
    for number, name in enumerate(NAMES):
        hub.add_repo(f"org/{name}", {"model.safetensors": random_bytes(100_000, seed=number + 1)})
    hub.pause(after_bytes=9 * SEGMENT_BYTES)
    return hub


def go_on(hub: FakeHub) -> None:
    """Let the hub send again, without what a stopped download still waited for."""
    hub.stop()
    hub.resume()
    hub.start()


def job_of(server: Server, name: str) -> Any:
    """Return the newest job of a model."""
    return next(job for job in server.get("/api/jobs") if job["model_name"] == name)


def add(server: Server, name: str, repo_id: str, **more: object) -> None:
    """Register a model over HTTP."""
    assert server.ask("POST", "/api/models", {"model_name": name, "hf_path": repo_id} | more).status == 201


def test_the_order_of_the_queue_holds_in_every_process(stuck: FakeHub, home: Home) -> None:
    """What is put first begins before what a shell and the server asked for earlier; what is put last, after all."""
    with home.serve(MAX_DOWNLOADS="1") as server:
        add(server, "m", REPO)
        stuck.wait_for_bytes(SEGMENT_BYTES)
        shell = home.start("add", "a", "org/a", MAX_DOWNLOADS="1")
        wait_until(lambda: "a" in {job["model_name"] for job in server.get("/api/jobs")}, "the shell's job to wait")
        add(server, "b", "org/b")
        add(server, "c", "org/c")
        wait_until(lambda: [job_of(server, name)["detail"] for name in NAMES] == [TURN] * 3, "all to wait")

        first = home.run("jobs", "first", str(job_of(server, "c")["id"])).checked().out
        last = server.ask("POST", f"/api/jobs/{job_of(server, 'a')['id']}/last").json
        listed = home.run("jobs").checked().out
        page = browse(server, "/activity").text
        go_on(stuck)
        shell.finish().checked()
        for name in ("m", *NAMES):
            server.wait_for_state(name, "ready")
        ended = {name: job_of(server, name)["finished_at"] for name in NAMES}

    assert "Priority +1." in first
    assert (last["priority"], last["state"]) == (-1, "queued")
    assert ("Priority +1." in listed, "Priority -1." in listed) == (True, True)
    assert page.index('id="job-4"') < page.index('id="job-3"') < page.index('id="job-2"')
    assert 'action="/jobs/3/first"' in page
    assert sorted(NAMES, key=lambda name: ended[name]) == ["c", "b", "a"]


def test_a_queue_does_not_wait_for_what_nobody_runs(hub: FakeHub, home: Home) -> None:
    """A job that waits for any process to take it keeps no shell from its own, though it is first."""
    for name in NAMES:
        hub.add_repo(f"org/{name}", {"config.json": b"{}"})
        home.run("add", name, f"org/{name}", "--no-download").checked()
    with home.open() as shelf:
        queued = shelf.services.registrar.enqueue_pull("a")
        shelf.services.steering.first(queued.id)

    home.run("pull", "b", MAX_DOWNLOADS="1").checked()

    with home.open() as shelf:
        assert [shelf.model(name).state for name in ("a", "b")] == ["queued", "ready"]


@pytest.mark.parametrize("verb", ["first", "last"])
def test_what_is_over_has_no_place(hub: FakeHub, home: Home, verb: str) -> None:
    """A job that has ended can't be put anywhere, and the error says so."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    home.run("add", "m", REPO).checked()

    refused = home.run("jobs", verb, "1")

    assert refused.code == 5
    assert "Job 1 is done." in refused.err


@pytest.fixture
def slow(home: Home, tmp_path: Path) -> tuple[str, ...]:
    """The words before a program for which all of this machine's disks turn."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a mount namespace of its own needs root and unshare")
    device, devices, disk = home.root.stat().st_dev, tmp_path / "block", tmp_path / "devices/sda"
    (disk / "queue").mkdir(parents=True)
    (disk / "queue/rotational").write_text("1\n")
    (disk / "dev").write_text("8:0\n")
    devices.mkdir()
    (devices / f"{os.major(device)}:{os.minor(device)}").symlink_to(disk)
    return "unshare", "--mount", "sh", "-ec", ON_A_SLOW_DISK, str(devices)


def test_one_job_at_a_time_writes_to_a_slow_disk(stuck: FakeHub, home: Home, slow: tuple[str, ...]) -> None:
    """A second download onto a disk that turns waits for the first, in the server and in a shell, and names it."""
    with home.serve(*slow) as server:
        add(server, "m", REPO)
        stuck.wait_for_bytes(SEGMENT_BYTES)
        add(server, "b", "org/b")
        shell = home.start_program(*slow, "shelf", "add", "a", "org/a")
        why = f"Waits for job 1: one writer at a time on {home.primary}, a slow disk."
        wait_until(lambda: [job["detail"] for job in server.get("/api/jobs")].count(why) == 2, "both to wait")
        listed = home.run("jobs").checked().out

        go_on(stuck)
        shell.finish().checked()
        for name in ("m", "a", "b"):
            server.wait_for_state(name, "ready")

    assert listed.count("Waits for job 1") == 2
    with home.open() as shelf:
        assert violations(shelf) == []


def test_a_move_onto_a_slow_disk_waits_for_its_writer(stuck: FakeHub, home: Home, slow: tuple[str, ...]) -> None:
    """A move onto a disk that turns waits for the download that writes there, names it, and moves afterwards."""
    home.run("add", "b", "org/b").checked()
    with home.serve(*slow) as server:
        add(server, "m", REPO)
        stuck.wait_for_bytes(SEGMENT_BYTES + 100_000)
        assert server.ask("PATCH", "/api/models/b", {"cache_location": "secondary"}).status == 202
        why = f"Waits for job {job_of(server, 'm')['id']}: one writer at a time on {home.secondary}, a slow disk."
        wait_until(lambda: job_of(server, "b")["detail"] == why, "the move to wait")
        assert server.get("/api/models/b")["cache_location"] == "primary"

        go_on(stuck)
        server.wait_for_state("m", "ready")
        wait_until(lambda: server.get("/api/models/b")["cache_location"] == "secondary", "the move")

    with home.open() as shelf:
        assert violations(shelf) == []
