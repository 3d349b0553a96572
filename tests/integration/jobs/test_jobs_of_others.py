"""A job is run by a process that has the bases it needs, and never fails for lack of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.job_params import GcParams
from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes, tree, wait_until

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(100_000)}
BLIND = {"SECONDARY_CACHE_PATH": "", "SECONDARY_CACHE_LIMIT_GB": ""}
"""Settings of a container that has only the primary base."""


@pytest.fixture(params=["pull", "move", "gc"])
def waiting(request: pytest.FixtureRequest, home: Home, hub: FakeHub) -> int:
    """Return the id of a queued job of the host on its secondary."""
    hub.add_repo("org/model", FILES)
    with home.open() as shelf:
        shelf.register("m", "org/model", "primary" if request.param == "move" else "secondary", download=False)
        shelf.services.tiers.open(shelf.services.tiers.configured()[1])
        if request.param == "pull":
            return shelf.services.registrar.enqueue_pull("m").id
        if request.param == "gc":
            return shelf.services.collector.enqueue(GcParams("secondary")).id
        shelf.pull("m")
        return shelf.services.mover.enqueue("m", "secondary", None, keep_source=False).id


def test_a_server_without_the_base_leaves_the_job_to_others(home: Home, waiting: int) -> None:
    """A server without the base leaves the job queued with the reason, and the host's server runs it."""
    with home.serve(**BLIND) as blind:
        path = f"/api/jobs/{waiting}"
        told = wait_until(lambda: (job := blind.get(path))["detail"] and job, "the job to say what it waits for")
        assert (told["state"], told["detail"]) == ("queued", "There is no secondary tier.")
        with home.serve() as host:
            assert wait_until(lambda: (job := host.get(path))["finished_at"] and job, "its end")["state"] == "done"


def test_a_command_without_the_base_fails_and_the_job_does_not(home: Home, hub: FakeHub) -> None:
    """A command without the base fails with the reason; its job waits, and the host runs it."""
    hub.add_repo("org/model", FILES)
    home.run("add", "m", "org/model", "--to", "secondary", "--no-download").checked()

    refused = home.run("pull", "m", **BLIND)
    assert (refused.code, "no secondary tier" in refused.err) == (7, True)
    assert [job["state"] for job in home.run("jobs", "--json").checked().json] == ["waiting"]
    home.run("pull", "m").checked()
    assert tree(Path(home.run("path", "m").checked().out.strip())) == FILES


def test_a_job_that_nobody_takes_says_what_it_waits_for(home: Home, waiting: int) -> None:
    """Without a server, a job says that it waits for one or for the command."""
    [listed] = [job for job in home.run("jobs", "--json").checked().json if job["id"] == waiting]

    assert (listed["state"], listed["detail"]) == (
        "queued",
        "Waits for a running server, or for the same command again.",
    )
