"""A job is paused, resumed, cancelled and retried from any process, whichever runs it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from modelshelf.domain.jobs import Cause, JobKind
from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.errors import Cancelled
from modelshelf.services.jobs.running import Running, run_quietly
from modelshelf.services.shelf import Shelf
from tests.disks import kept_segments
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import DEADLINE_S, Home, Server, random_bytes, wait_until

REPO = "org/name"
BIG = random_bytes(10 * SEGMENT_BYTES)


@pytest.fixture
def stuck(hub: FakeHub) -> FakeHub:
    """A hub that stops in the middle of a download until it is told to go on."""
    hub.add_repo(REPO, {"model.safetensors": BIG})
    hub.pause(after_bytes=9 * SEGMENT_BYTES)
    return hub


def go_on(hub: FakeHub) -> None:
    """Let the hub send again, without what a stopped download still waited for."""
    hub.stop()
    hub.resume()
    hub.start()


def job_of(server: Server) -> Any:
    """Return the newest job."""
    return server.get("/api/jobs?limit=1")[0]


def test_a_pause_holds_through_a_restart_of_the_server(stuck: FakeHub, home: Home, shelf: Shelf) -> None:
    """A shell pauses the server's download, the next server leaves it alone, and a resumed one fetches the rest."""
    with home.serve() as first:
        first.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO})
        stuck.wait_for_bytes(9 * SEGMENT_BYTES)
        wait_until(lambda: kept_segments(home) >= 1, "a segment to be kept")
        number = str(job_of(first)["id"])
        paused = home.run("jobs", "pause", number, "--json").checked().json
        assert (paused["state"], paused["rate_bytes_per_s"], paused["eta_s"]) == ("paused", 0, None)
        assert first.get("/api/models/m")["detail"] == "Paused."
        assert "paused" in home.run("ls").checked().out
    go_on(stuck)
    before = stuck.bytes_sent

    with home.serve() as second:
        assert home.run("add", "other", REPO, "--no-download").checked().code == 0  # the server had a chance to take it
        assert (job_of(second)["state"], stuck.bytes_sent) == ("paused", before)
        assert second.ask("POST", f"/api/jobs/{number}/resume").json["state"] in ("queued", "running", "done")
        second.wait_for_state("m", "ready")

    assert stuck.bytes_sent - before < len(BIG)
    assert violations(shelf) == []


def test_a_request_pauses_the_download_of_a_shell(stuck: FakeHub, home: Home) -> None:
    """A command whose job is paused elsewhere ends, and says how it goes on."""
    shell = home.start("add", "m", REPO)
    stuck.wait_for_bytes(SEGMENT_BYTES)
    with home.open() as shelf:
        job = wait_until(lambda: next(iter(shelf.jobs(unfinished=True)), None), "the job")
        shelf.services.steering.pause(job.id)
    ended = shell.finish()  # it notices within a second, though nothing arrives
    go_on(stuck)

    assert ended.code == 5, ended.err
    assert f"hint: shelf jobs resume {job.id}" in ended.err
    assert home.run("jobs", "--json").checked().json[0]["state"] == "paused"
    assert home.run("pull", "m").checked().code == 0  # asking again resumes it


def test_a_resumed_job_runs_in_the_shell_that_resumes_it(stuck: FakeHub, home: Home, shelf: Shelf) -> None:
    """Without a server `shelf jobs resume` runs the job to its end, and so it does with one that nobody runs."""
    first = home.start("add", "m", REPO)
    stuck.wait_for_bytes(SEGMENT_BYTES)
    number = str(wait_until(lambda: next(iter(shelf.jobs(unfinished=True)), None), "the job").id)
    home.run("jobs", "pause", number).checked()
    first.finish()
    go_on(stuck)

    resumed = home.run("jobs", "resume", number).checked()

    assert resumed.out == f"Job {number} is done.\n"
    assert shelf.model("m").state == "ready"
    assert violations(shelf) == []


def test_a_queued_job_is_run_by_a_shell_that_resumes_it(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A job that nobody took runs where it is resumed; with --json its end is the answer."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    row = shelf.register("m", REPO, download=False).row
    job = shelf.services.registry.enqueue("pull", row)

    assert home.run("jobs", "resume", str(job.id), "--json").checked().json["state"] == "done"


def test_a_failed_job_is_retried(hub: FakeHub, home: Home) -> None:
    """A job that failed is the same job when it is retried; one that is done can't be."""
    hub.add_repo(REPO, {"model.safetensors": BIG})
    hub.fail("*/resolve/*", status=403)
    assert home.run("add", "m", REPO).code == 3
    hub.heal()
    failed = home.run("jobs", "--json").checked().json[0]
    assert failed["state"] == "failed"

    with home.serve() as server:
        retried = server.ask("POST", f"/api/jobs/{failed['id']}/retry").json
        server.wait_for_state("m", "ready")

        assert (retried["id"], retried["error"]) == (failed["id"], None)
        wait_until(lambda: job_of(server)["state"] == "done", "the job to be done")
        again = server.ask("POST", f"/api/jobs/{failed['id']}/retry")
    assert (again.status, again.json["title"]) == (409, "Conflict")


def test_a_job_is_not_retried_beside_another_that_does_the_same(shelf: Shelf, hub: FakeHub, home: Home) -> None:
    """A cancelled job stays so while another one does its work."""
    hub.add_repo(REPO, {"model.safetensors": BIG})
    row = shelf.register("m", REPO, download=False).row
    registry = shelf.services.registry
    first = registry.enqueue("pull", row)
    home.run("jobs", "cancel", str(first.id)).checked()
    second = registry.enqueue("pull", row)

    refused = home.run("jobs", "retry", str(first.id))

    assert (refused.code, registry.job(first.id).state) == (5, "cancelled")
    assert f"shelf jobs retry {second.id}" in refused.err


def test_an_old_job_is_not_retried_over_a_newer_one(shelf: Shelf, hub: FakeHub, home: Home) -> None:
    """What a later job of the same kind has done isn't undone by an earlier one that was cancelled."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    row = shelf.register("m", REPO, download=False).row
    registry = shelf.services.registry
    old = registry.enqueue("update", row)
    registry.finish_job(old.id, "cancelled")
    registry.finish_job(registry.enqueue("update", row).id, "done")

    refused = home.run("jobs", "retry", str(old.id))

    assert (refused.code, registry.job(old.id).state) == (5, "cancelled")


def test_the_deletion_of_an_old_copy_is_not_cancelled(hub: FakeHub, home: Home) -> None:
    """What a move left is deleted when nobody uses it any more; a cancelled deletion would leave a second copy."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(30_000)})
    home.run("add", "m", REPO).checked()
    home.run("lease", "m").checked()
    home.run("move", "m", "secondary").checked()
    with home.open() as shelf:
        (deletion,) = shelf.jobs(kind=JobKind.DELETE_OLD_COPY)

    refused = home.run("cancel", str(deletion.id))

    assert (refused.code, "a second one would stay" in refused.err) == (5, True)
    with home.open() as shelf:
        assert shelf.job(deletion.id).state == "waiting"


def test_the_end_of_a_lease_lets_the_old_copy_go(hub: FakeHub, home: Home) -> None:
    """Who releases the lease that a deletion waits for doesn't have to wait for the next look at it."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(30_000)})
    home.run("add", "m", REPO).checked()
    home.run("lease", "m").checked()
    home.run("move", "m", "secondary").checked()

    home.run("lease", "--release", "1").checked()

    with home.open() as shelf:
        assert [job.state for job in shelf.jobs(kind=JobKind.DELETE_OLD_COPY)] == ["done"]


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_part_is_steered_by_its_whole(shelf: Shelf, hub: FakeHub, home: Home, verb: str) -> None:
    """An eviction for a pull would fail the pull, or begin again at once: the pull is named instead."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    row = shelf.register("m", REPO, download=False).row
    registry = shelf.services.registry
    pull = registry.enqueue("pull", row)
    part = registry.enqueue("move", row, cause=Cause("Makes room.", pull.id))

    refused = home.run("jobs", verb, str(part.id))
    registry.finish_job(pull.id, "failed")
    alone = home.run("jobs", verb, str(part.id))

    assert (refused.code, alone.code) == (5, 0)
    assert f"shelf jobs {verb} {pull.id}" in refused.err


def test_a_job_is_named_by_its_model(shelf: Shelf, hub: FakeHub, home: Home) -> None:
    """Where a model has one job that isn't finished, its name is as good as the number; of the failed, the newest."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    row = shelf.register("m", REPO, download=False).row
    registry = shelf.services.registry
    pull = registry.enqueue("pull", row)
    registry.enqueue("move", row, cause=Cause("Makes room.", pull.id))

    home.run("jobs", "pause", "m").checked()
    paused = registry.job(pull.id).state
    cancelled = home.run("cancel", "m").checked().out
    nothing, nobody = home.run("cancel", "m"), home.run("cancel", "x")
    retried = home.run("jobs", "retry", "m").checked().out

    assert (paused, cancelled) == ("paused", f"Job {pull.id} is cancelled.\n")
    assert (nothing.code, nothing.err.splitlines()[0]) == (
        4,
        "error: m has no job to cancel.",
    )
    assert (nobody.code, nobody.err.splitlines()[0]) == (4, "error: There is no model x.")
    assert f"Job {pull.id} is done." in retried


def test_several_jobs_of_a_model_are_told_apart_by_their_numbers(shelf: Shelf, hub: FakeHub, home: Home) -> None:
    """A name that means two jobs is refused, with their numbers; neither is touched."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    row = shelf.register("m", REPO, download=False).row
    both = [shelf.services.registry.enqueue(kind, row) for kind in ("pull", "move")]

    refused = home.run("cancel", "m")

    assert refused.code == 2
    assert f"m has 2 such jobs: {both[1].id} (move), {both[0].id} (pull)." in refused.err
    assert [shelf.services.registry.job(job.id).state for job in both] == ["queued", "queued"]


def test_a_resumed_job_waits_until_its_thread_has_left(shelf: Shelf) -> None:
    """A job that is paused and resumed before its thread noticed isn't run by a second thread of the process."""
    registry, runner, steering = shelf.services.registry, shelf.services.runner, shelf.services.steering
    began, leave = threading.Event(), threading.Event()
    runs: list[int] = []

    def slow(running: Running) -> None:
        runs.append(running.job.id)
        began.set()
        leave.wait(DEADLINE_S)
        raise Cancelled

    runner.handlers[JobKind.GC] = slow
    job = registry.add_job(JobKind.GC, "", {})
    mine = runner.claim(job)
    assert mine is not None
    thread = threading.Thread(target=run_quietly, args=(runner.run, Running(mine)))
    thread.start()
    began.wait(DEADLINE_S)

    steering.pause(job.id)
    steering.resume(job.id)
    beside = runner.claim(job)
    leave.set()
    thread.join()
    after = runner.claim(registry.job(job.id))

    assert (beside, runs, after is not None) == (None, [job.id], True)


@pytest.mark.parametrize("words", [["pause"], ["stop", "1"], ["pause", "1", "--watch", "extra"]])
def test_a_verb_needs_a_number(home: Home, words: list[str]) -> None:
    """What isn't a verb with a number is refused, and says what is."""
    refused = home.run("jobs", *words)

    assert refused.code == 2
    assert "shelf jobs" in refused.err


def test_listed_jobs_come_in_pages(shelf: Shelf, home: Home) -> None:
    """A page of jobs leads to the next one, with the same filters."""
    ids = [shelf.services.registry.add_job("gc", "", {}).id for _ in range(3)]
    for job_id in ids:
        shelf.services.registry.finish_job(job_id, "cancelled")

    with home.serve() as server:
        first = server.ask("GET", "/api/jobs?limit=2&state=cancelled&state=failed&kind=gc")
        link = first.headers["link"].partition(">")[0].lstrip("<")
        rest = server.get(link)
        none = server.get("/api/jobs?state=done")
        refused = server.ask("GET", "/api/jobs?state=asleep")

    assert [job["id"] for job in (*first.json, *rest)] == ids[::-1]
    assert (none, refused.status) == ([], 422)


def test_downloads_wait_for_their_turn(stuck: FakeHub, home: Home) -> None:
    """With MAX_DOWNLOADS=1 the second download says what it waits for, and runs when the first is done."""
    stuck.add_repo("org/other", {"model.safetensors": random_bytes(1000, seed=1)})
    with home.serve(MAX_DOWNLOADS="1") as server:
        server.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO})
        stuck.wait_for_bytes(SEGMENT_BYTES)
        server.ask("POST", "/api/models", {"model_name": "other", "hf_path": "org/other"})

        wait_until(
            lambda: job_of(server)["detail"] == "Waits for its turn (MAX_DOWNLOADS=1).", "the second job to wait"
        )
        go_on(stuck)

        server.wait_for_state("m", "ready")
        server.wait_for_state("other", "ready")
        wait_until(lambda: job_of(server)["detail"] == "", "its row to say nothing of a wait")
