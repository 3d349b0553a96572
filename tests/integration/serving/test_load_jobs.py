"""Loads are jobs: seen, and ended, by every process."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.jobs import A_PERSON, Job
from modelshelf.domain.serving import EngineState, Wanted
from modelshelf.errors import Conflict, NotFound, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.registry.tables import jobs
from modelshelf.services.jobs.process import this_process
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.serving.load_jobs import LoadJobs, Told
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.integration.serving.test_served_models import PROGRAM, WRITER, Served, served
from tests.integration.serving.test_troubles import asked
from tests.world import Home, wait_until

DEAD = this_process().rpartition(":")[0] + ":1"
"""A process with the number of this one that began at another time."""


def loads(made: Served) -> list[Any]:
    """Return the jobs of loads, newest first."""
    found = made.server.ask("GET", "/api/jobs?kind=load").json
    assert isinstance(found, list)
    return found


def test_a_request_that_loads_a_model_makes_a_job(home: Home, hub: FakeHub) -> None:
    """The start of an engine for a request is a job with its phase and reason, and done once the engine answers."""
    with served(home, hub, "--start-s", "4") as made, asked(made, "one", stream=True) as answer:
        during = wait_until(lambda: (found := loads(made)) and found[0]["phase"] and found[0], "the job of the load")
        answer.read()
        after = wait_until(lambda: (job := loads(made)[0])["finished_at"] and job, "its end")

    seen = {key: during[key] for key in ("model_name", "kind", "state", "phase", "reason", "tiers")}
    assert seen == {
        "model_name": "one", "kind": "load", "state": "running", "phase": "starting",
        "reason": "A request asks for it.", "tiers": ["primary"],
    }  # fmt: skip
    assert (after["id"], after["state"], after["phase"]) == (during["id"], "done", "")


def test_a_load_by_hand_and_the_start_of_its_engine_are_one_job(home: Home, hub: FakeHub) -> None:
    """A load that a person asked for has one job from then on, with no reason but theirs."""
    with served(home, hub) as made:
        first = made.load("one")
        again = made.load("one")
        assert [(job["id"], job["reason"]) for job in loads(made)] == [(again["id"], ""), (first["id"], "")]
        assert (first["state"], again["state"]) == ("done", "done")


def test_a_shell_cancels_a_load_of_the_server(home: Home, hub: FakeHub) -> None:
    """A load that is cancelled in a shell ends with its engine, and who waited for the model is refused."""
    with served(home, hub, "--start-s", "100") as made, asked(made, "one", stream=True) as waiting:
        number = str(wait_until(lambda: (found := loads(made)) and found[0]["id"], "the job of the load"))
        cancelled = home.run("jobs", "cancel", number, "--json").checked().json
        said = waiting.read().decode()

        assert cancelled["state"] == "cancelled"
        assert "was unloaded before it was ready" in said
        wait_until(lambda: made.leases() == [], "its engine to be gone")
        assert made.server.ask("GET", f"/api/jobs/{number}").json["state"] == "cancelled"


def test_a_load_that_waits_for_room_is_cancelled(home: Home, hub: FakeHub) -> None:
    """A load by hand whose model waits for one that is busy can be cancelled before anything started."""
    with (
        served(home, hub, "--tokens", "100000", "--token-s", "0.1", MAX_LOADED="1") as made,
        asked(made, "one", stream=True) as busy,
    ):
        assert busy.readline()
        job = made.post("two/load").json
        assert made.server.ask("POST", f"/api/jobs/{job['id']}/cancel").json["state"] == "cancelled"
        wait_until(lambda: [one["model_name"] for one in made.engines()] == ["one"], "nobody to wait for two")


def test_a_load_is_neither_paused_nor_retried(home: Home, hub: FakeHub) -> None:
    """To pause or retry a load is refused, with what helps instead; the page offers neither."""
    with served(home, hub, "--start-s", "100") as made:
        job = made.post("one/load").json
        paused = home.run("jobs", "pause", str(job["id"]))
        shown = made.server.ask("GET", "/activity").body.decode()
        home.run("jobs", "cancel", str(job["id"])).checked()
        retried = home.run("jobs", "retry", str(job["id"]))

    assert (paused.code, f"shelf jobs cancel {job['id']}" in paused.err) == (Conflict.exit_code, True)
    assert (f"/jobs/{job['id']}/cancel" in shown, f"/jobs/{job['id']}/pause" in shown) == (True, False)
    assert (retried.code, "shelf chat one" in retried.err) == (Conflict.exit_code, True)


def test_a_failed_load_says_why(home: Home, hub: FakeHub) -> None:
    """The job of an engine that crashes as it starts has failed, with the engine's last words."""
    with served(home, hub, "--crash", "starting") as made:
        failed = made.load("one")

    assert (failed["state"], failed["error"]["status"]) == ("failed", 503)
    assert failed["error"]["tail"]


# ---- without a server


@pytest.fixture
def one(home: Home, hub: FakeHub, shelf: Shelf) -> Wanted:
    """A registered model."""
    hub.add_repo("org/one", {"model.gguf": gguf(WRITER)})
    row = shelf.register("one", "org/one").row
    return Wanted(row.id, row.model_name, EngineKind.GENERATE, "llama", 0)


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize("fails", [False, True], ids=["llama.cpp", "transformers"])
def test_a_trial_in_a_shell_is_a_job(home: Home, shelf: Shelf, fails: bool) -> None:
    """`shelf load` leaves a job behind, as a load of the server does, whichever program loads the model."""
    llama = shlex.join([sys.executable, "-P", str(PROGRAM)])
    tried = home.run("load", "one", LLAMA_SERVER="" if fails else llama)
    (job,) = shelf.jobs(kind="load")
    assert (tried.code != 0, job.state, job.reason) == (fails, "failed" if fails else "done", "")


def state_of(shelf: Shelf, job: Job) -> tuple[str, str]:
    """Return what became of a job."""
    now = shelf.job(job.id)
    return now.state, now.detail


def test_the_load_of_a_process_that_died_has_failed(shelf: Shelf, one: Wanted) -> None:
    """The next process that looks ends the loads of a dead one: nobody takes them up."""
    registry = shelf.services.registry
    job = registry.begin_load(one.model_id, DEAD, A_PERSON)
    recover_dead_owners(registry)
    assert state_of(shelf, job) == ("failed", "The process that loaded it ended.")


@pytest.mark.parametrize("owner", ["another-boot:pid:[1]:7:1", this_process()], ids=["a container", "this"])
@pytest.mark.parametrize(("silent_s", "state"), [(0, "running"), (1000, "failed")])
def test_a_load_of_which_nothing_is_heard_has_failed(
    shelf: Shelf, one: Wanted, owner: str, silent_s: int, state: str
) -> None:
    """A load of a process that can't be seen, or that lost it, fails once nothing was heard of it for long."""
    registry = shelf.services.registry
    job = registry.begin_load(one.model_id, owner, A_PERSON)
    with registry._engine.begin() as connection:
        connection.execute(sa.update(jobs).values(heartbeat_at=jobs.c.heartbeat_at - silent_s))
    recover_dead_owners(registry)
    assert state_of(shelf, job)[0] == state
    assert registry.due() == []


def run(shelf: Shelf, one: Wanted, work: Callable[[Told], Coroutine[Any, Any, Any]]) -> Any:
    """Return what a load comes to, once its row is written."""

    async def main() -> Any:
        kept = LoadJobs(shelf.services.registry, this_process())
        try:
            return await kept.run(one, work, lambda state: None, A_PERSON)
        finally:
            await kept.close()

    return asyncio.run(main())


def end_at_once(shelf: Shelf, one: Wanted, work: Callable[[Told], Coroutine[Any, Any, Any]]) -> Any:
    """Return what a load comes to, or raises, that its process ends once it has begun."""

    async def main() -> Any:
        kept, begun = LoadJobs(shelf.services.registry, this_process()), asyncio.Event()

        async def noted(told: Told) -> Any:
            begun.set()
            return await work(told)

        load = asyncio.create_task(kept.run(one, noted, lambda state: None, A_PERSON))
        await begun.wait()
        load.cancel()
        ended = (await asyncio.gather(load, return_exceptions=True))[0]
        await kept.close()
        return ended

    return asyncio.run(main())


def newest(shelf: Shelf) -> Job:
    """Return the newest job."""
    return shelf.jobs()[0]


def test_a_load_that_is_ended_is_cancelled(shelf: Shelf, one: Wanted) -> None:
    """The job of a load that its process ends before the model is ready is cancelled."""

    async def never(told: Told) -> None:
        await asyncio.sleep(100)

    ended = end_at_once(shelf, one, never)
    assert isinstance(ended, asyncio.CancelledError)
    assert (newest(shelf).kind, newest(shelf).state) == ("load", "cancelled")


def test_a_load_that_breaks_has_failed(shelf: Shelf, one: Wanted) -> None:
    """An unexpected exception is in the job, and is raised."""

    async def broken(told: Told) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(shelf, one, broken)
    assert (newest(shelf).state, newest(shelf).detail) == ("failed", "ZeroDivisionError: ")


def test_a_load_that_cannot_be_noted_goes_on(shelf: Shelf, one: Wanted) -> None:
    """A load whose row can't be written loads all the same; by hand it is refused, until it can be written again."""
    unknown = replace(one, model_id=999)
    loaded: list[str] = []

    async def works(told: Told) -> str:
        return "loaded"

    async def by_hand() -> None:
        loaded.append("by hand")

    async def main() -> Job:
        kept, over = LoadJobs(shelf.services.registry, this_process()), asyncio.Event()
        running = asyncio.create_task(kept.run(unknown, lambda told: over.wait(), lambda state: None, A_PERSON))
        with pytest.raises(NotFound):
            await kept.begin(unknown, by_hand, A_PERSON)
        with pytest.raises(NotFound):
            await kept.begin(unknown, by_hand, A_PERSON)
        assert loaded == []
        over.set()
        await running
        job = await kept.begin(one, by_hand, A_PERSON)
        await kept.close()
        return job

    assert run(shelf, unknown, works) == "loaded"
    job = asyncio.run(main())
    assert loaded == ["by hand"]
    assert [(found.id, found.state) for found in shelf.jobs(kind="load")] == [(job.id, "done")]


def test_a_load_after_a_cancel_is_another_job(shelf: Shelf, one: Wanted) -> None:
    """Who asks again while what was cancelled still ends gets a job of their own, which is done."""

    async def main() -> tuple[Job, Job]:
        kept, ended = LoadJobs(shelf.services.registry, this_process()), asyncio.Event()

        async def slow_to_end(told: Told) -> None:
            await ended.wait()

        running = asyncio.create_task(kept.run(one, slow_to_end, told.append, A_PERSON))
        (first,) = await asyncio.to_thread(wait_until, lambda: shelf.jobs(kind="load"), "the row")
        shelf.services.registry.cancel_job(first.id)
        await asyncio.to_thread(wait_until, lambda: told, "the load to hear of it")
        second = await kept.begin(one, nothing, A_PERSON)
        ended.set()
        await running
        await kept.close()
        return first, second

    async def nothing() -> None:
        pass

    told: list[EngineState] = []
    first, second = asyncio.run(main())
    assert told == [EngineState.STOPPED]
    assert (state_of(shelf, first)[0], state_of(shelf, second)[0]) == ("cancelled", "done")


def test_the_end_of_a_load_is_written_once_the_registry_is_back(shelf: Shelf, one: Wanted) -> None:
    """A registry that is away in the moment in which a load ends is told as soon as it is there again."""
    registry = shelf.services.registry
    away = 2

    class Away:
        """The registry, but that it is away for the first ends."""

        def __getattr__(self, name: str) -> Any:
            return getattr(registry, name)

        def finish_job(self, *words: Any, **more: Any) -> bool:
            nonlocal away
            if away:
                away -= 1
                raise Unavailable("The registry is away.")
            return registry.finish_job(*words, **more)

    async def works(told: Told) -> None:
        pass

    async def main() -> None:
        kept = LoadJobs(cast("Registry", Away()), this_process())
        await kept.run(one, works, lambda state: None, A_PERSON)
        await asyncio.to_thread(wait_until, lambda: not away and newest(shelf).state == "done", "the end")

    asyncio.run(main())
    assert (away, newest(shelf).state) == (0, "done")
