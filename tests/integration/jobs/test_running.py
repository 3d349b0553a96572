"""What the registry is told of a job while it runs and when it ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from modelshelf.domain.jobs import JobKind
from modelshelf.services.jobs.running import Running, tick
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.world import DEADLINE_S, Home, random_bytes, wait_until

REPO = "org/name"


def test_a_job_that_ends_between_two_looks_says_how_much_it_was(hub: FakeHub, shelf: Shelf) -> None:
    """A tick before the bytes are known keeps those in the row, and the job's end writes those of the last phase."""
    hub.add_repo(REPO, {"config.json": b"{}", "model.safetensors": b"123456789"})
    shelf.register("m", REPO, download=False)
    registry, runner = shelf.services.registry, shelf.services.runner
    seen: list[int] = []

    def pull(running: Running) -> None:
        for _ in range(2):
            running.progress.phase("resolving")
            tick(registry, running, 0)
            seen.append(registry.job(running.job.id).total_bytes)
            registry.update_job(running.job.id, {"total_bytes": 0})
        running.progress.phase("downloading", 10)
        running.progress.advance(10)

    runner.handlers[JobKind.PULL] = pull
    ended = runner.finish(shelf.services.registrar.enqueue_pull("m"))

    assert (seen, ended.done_bytes, ended.total_bytes) == ([11, 0], 10, 10)


def test_a_part_that_another_process_was_quicker_to_claim_is_waited_for(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A job whose part another process claimed first goes on once that process has done the part."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    shelf.register("m", REPO)
    part = shelf.services.mover.enqueue("m", "secondary", None, keep_source=False)

    with home.open() as other, ThreadPoolExecutor(1) as pool:
        theirs = other.services.runner.claim(part)
        assert theirs is not None
        waits = pool.submit(shelf.services.runner.run_inside, part, Running(part))
        other.services.runner.run(Running(theirs))
        waits.result(DEADLINE_S)

    assert shelf.model("m").base == str(home.secondary)


def test_a_killed_download_is_not_told_to_run(hub: FakeHub, home: Home) -> None:
    """`shelf jobs` and `shelf show` write nothing down, and yet tell a job of a dead process as what it is: queued."""
    hub.add_repo("org/name", {"model.safetensors": random_bytes(3_000_000)})
    hub.pause(after_bytes=1_000_000)
    child = home.start("add", "m", "org/name")
    hub.wait_for_bytes(1_000_000)
    wait_until(lambda: "downloading" in home.run("jobs").checked().out, "the download to be told")

    child.process.kill()
    child.process.wait()
    listed = home.run("jobs").checked().out
    (told,) = home.run("jobs", "--json").checked().json

    assert ("queued" in listed, "downloading" in listed) == (True, False)
    assert (told["state"], told["rate_bytes_per_s"]) == ("queued", 0)
    assert told["detail"] == "Waits for a running server, or for the same command again."
    assert [job["state"] for job in home.run("status", "--json").checked().json["jobs"]] == ["queued"]
    assert [model["state"] for model in home.run("ls", "--json").checked().json] == ["queued"]
