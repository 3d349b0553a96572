"""What every face shows of a job while it runs: bytes, files, rate, remaining time, times, tiers and cause."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from modelshelf.domain.plans import SEGMENT_BYTES
from tests.fakes.hub import FakeHub
from tests.integration.server.test_page import browse
from tests.world import Home, Server, random_bytes, wait_until

REPO = "org/name"
FILES = {
    "model-1.safetensors": random_bytes(6 * SEGMENT_BYTES),
    "model-2.safetensors": random_bytes(5 * SEGMENT_BYTES, seed=2),
    "config.json": b"{}",
}
ARRIVED = 4 * SEGMENT_BYTES


@pytest.fixture
def stuck(hub: FakeHub) -> FakeHub:
    """A hub that stops in the middle of a download until it is told to go on."""
    hub.add_repo(REPO, FILES)
    hub.pause(after_bytes=ARRIVED)
    return hub


def moving(server: Server) -> dict[str, Any] | None:
    """Return the first job while it has a rate."""
    job = server.get("/api/jobs/1")
    return job if job["rate_bytes_per_s"] > 0 else None


def test_a_job_shows_its_files_and_that_it_stalls(stuck: FakeHub, home: Home) -> None:
    """Files and their bytes are in HTTP, in the shell and on the page; when nothing comes the rate falls to 0."""
    with home.serve() as server:
        server.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO})
        going = wait_until(lambda: moving(server), "a rate")  # from the start: on a busy machine it is soon over
        stuck.wait_for_bytes(ARRIVED)
        wait_until(lambda: server.get("/api/jobs/1")["rate_bytes_per_s"] == 0, "the rate to fall")
        stalled = server.get("/api/jobs/1")
        said, page = home.run("jobs", "1").checked().out, browse(server, "/activity").text
        twin = home.run("jobs", "1", "--json").checked().json
        stuck.stop()
        stuck.resume()
        stuck.start()
        over = wait_until(lambda: (job := server.get("/api/jobs/1"))["state"] == "done" and job, "the job to end")

    assert going["eta_s"] == pytest.approx((going["total_bytes"] - going["done_bytes"]) / going["rate_bytes_per_s"])
    assert (stalled["eta_s"], stalled["state"], stalled["tiers"]) == (None, "running", ["primary"])
    assert {file["path"]: file["total_bytes"] for file in stalled["files"]} == {p: len(b) for p, b in FILES.items()}
    assert sum(file["done_bytes"] for file in stalled["files"]) == stalled["done_bytes"] > 0
    assert (stalled["files_total"], len(stalled["owner"].split(":")) > 2) == (3, True)
    assert {key for key in twin if twin[key] != stalled[key]} <= {"heartbeat_at", "detail"}
    assert ("model-1.safetensors" in said, "of 3 files" in said) == (True, True)
    assert ("model-1.safetensors" in page, "Stalled." in page, "no estimate" in page) == (True, True, True)
    assert (over["files"], over["files_done"], over["files_total"], over["state"]) == ([], 3, 3, "done")
    assert moment(over, "created_at") < moment(stalled, "heartbeat_at") < moment(over, "finished_at")


def moment(job: Any, key: str) -> datetime:
    """Return one of a job's times."""
    return datetime.fromisoformat(job[key])


def test_a_download_prints_its_files_on_request(stuck: FakeHub, home: Home) -> None:
    """With -v each line for a log is followed by the files on their way."""
    child = home.start("add", "m", REPO, "-v")
    assert child.process.stderr is not None
    said = ""
    while "files" not in said:  # the line that comes every ten seconds
        said += child.process.stderr.readline()
    said += child.process.stderr.readline()
    stuck.stop()
    stuck.resume()
    stuck.start()
    child.finish().checked()

    assert "m: downloading, " in said
    assert "of 3 files\n  model-1.safetensors: " in said
