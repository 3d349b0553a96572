"""What the registry is told of a job while it runs and when it ends."""

from __future__ import annotations

from modelshelf.domain.jobs import JobKind
from modelshelf.services.jobs.running import Running, tick
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub

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

    runner.handle({JobKind.PULL: pull})
    ended = runner.finish(shelf.services.registrar.enqueue_pull("m"))

    assert (seen, ended.done_bytes, ended.total_bytes) == ([11, 0], 10, 10)
