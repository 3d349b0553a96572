"""The pool of engines, with engines that a test turns by hand."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from modelshelf.domain.engine_kinds import TALKS, Endpoint, EngineKind
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.serving import DeviceMemory, EngineState, Served, Wanted
from modelshelf.errors import BadInput, EngineFailed, NotFound, TooMany, Unavailable
from modelshelf.services.serving.pool import EnginePool
from tests.fakes.engines import GB, FakeEngine, FakeStarter, wanted

A, B, C = wanted("a", 1), wanted("b", 2), wanted("c", 3)
CHAT = Endpoint.CHAT
ONE = Rules(max_loaded=1, fair_s=0.02)
Story = Callable[[EnginePool], Awaitable[None]]


@asynccontextmanager
async def opened(starter: FakeStarter, rules: Rules | None = None) -> AsyncIterator[EnginePool]:
    """Return a pool that runs; at its end every engine may stop."""
    pool = EnginePool(starter, rules or Rules())
    await pool.start()
    try:
        yield pool
    finally:
        for engine in starter.engines:
            engine.may_stop.set()
        await pool.stop()
        assert starter.live == []


def run(starter: FakeStarter, story: Story, rules: Rules | None = None) -> None:
    """Let a story happen to a pool."""

    async def whole() -> None:
        async with asyncio.timeout(60), opened(starter, rules) as pool:
            await story(pool)

    asyncio.run(whole())


async def use(pool: EnginePool, name: str, *, keep_alive_s: float | None = None, key: str = "") -> Served:
    """Use a model for an instant."""
    with await pool.use(name, CHAT, keep_alive_s, key) as served:
        return served


@asynccontextmanager
async def in_use(pool: EnginePool, name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Hold a model in a task of its own, as a client does; cancelled at the end."""
    held = asyncio.Event()

    async def hold() -> None:
        with await pool.use(name, CHAT, patient=True):
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await held.wait()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def asked(pool: EnginePool, name: str, queued: int = 1) -> None:
    """Wait until so many requests wait for a model."""
    while (status := pool.status_of(name)) is None or status.queued < queued:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)


def test_all_who_ask_share_one_engine() -> None:
    """Many clients that ask for a cold model at once start one engine, and all are answered by it."""
    starter = FakeStarter(A)

    async def story(pool: EnginePool) -> None:
        served = await asyncio.gather(*(use(pool, "a") for _ in range(20)))
        assert {each.url for each in served} == {starter.engines[0].served.url}

    run(starter, story)
    assert len(starter.engines) == 1


def test_a_warm_model_is_not_looked_up_for_each_request() -> None:
    """Requests for a model whose engine runs ask the registry nothing for a moment."""
    starter = FakeStarter(A)

    async def story(pool: EnginePool) -> None:
        for _ in range(50):
            await use(pool, "a")

    run(starter, story)
    assert starter.looks < 50


def test_an_engine_answers_while_the_registry_is_away() -> None:
    """A registry that doesn't answer keeps nobody from a model whose engine runs."""
    starter = FakeStarter(A, B)

    async def story(pool: EnginePool) -> None:
        await use(pool, "a")
        pool._names["a"] = (-1000.0, 1)  # it was looked up long ago
        starter.why_not_looked = Unavailable("The registry doesn't answer.")
        assert (await use(pool, "a")).model_name == "a"
        with pytest.raises(Unavailable):
            await use(pool, "b")

    run(starter, story)


def test_what_another_kind_of_model_answers_is_said() -> None:
    """Asked for embeddings, a model that writes text says that, and what answers them."""
    starter = FakeStarter(replace(A, endpoints=frozenset({Endpoint.CHAT})))

    async def story(pool: EnginePool) -> None:
        with pytest.raises(BadInput, match="a writes text: it doesn't answer embeddings") as refused:
            await pool.use("a", Endpoint.EMBEDDINGS)
        assert refused.value.hint.startswith("Ask a model that makes embeddings: ")

    run(starter, story)


@pytest.mark.parametrize("endpoint", sorted(TALKS))
def test_a_conversation_without_a_template_starts_nothing(endpoint: Endpoint) -> None:
    """The refusal says what to do about the template that is missing."""
    starter = FakeStarter(replace(A, endpoints=frozenset({Endpoint.COMPLETIONS}), no_template="Take another."))

    async def story(pool: EnginePool) -> None:
        with pytest.raises(BadInput, match="a has no chat template, and fake needs one") as caught:
            await pool.use("a", endpoint)
        assert caught.value.hint == "Take another."
        with pytest.raises(BadInput, match="doesn't answer embeddings"):
            await pool.use("a", Endpoint.EMBEDDINGS)

    run(starter, story)
    assert starter.engines == []


def test_what_a_model_does_not_answer_starts_nothing() -> None:
    """A request that a model's engine couldn't answer, or for no model, is refused before anything starts."""
    starter = FakeStarter(replace(A, endpoints=frozenset({Endpoint.EMBEDDINGS})))

    async def story(pool: EnginePool) -> None:
        with pytest.raises(BadInput, match="a doesn't answer chat/completions: fake runs it"):
            await use(pool, "a")
        with pytest.raises(NotFound):
            await use(pool, "z")
        with pytest.raises(NotFound, match="a isn't loaded"):
            await pool.unload("a")

    run(starter, story)
    assert starter.engines == []


def test_a_crash_while_it_starts_is_told_to_all() -> None:
    """Who waits for a start that crashes gets its last words; who asks a moment later gets them without a start."""
    starter = FakeStarter(A, by_hand=True)

    async def story(pool: EnginePool) -> None:
        clients = [asyncio.create_task(use(pool, "a")) for _ in range(3)]
        engine = await starter.started.get()
        await asked(pool, "a", 3)
        engine.fail("It crashed: no such tensor.")
        results = await asyncio.gather(*clients, return_exceptions=True)
        assert all(isinstance(each, EngineFailed) and each.tail == engine.log() for each in results)
        assert len({id(each) for each in results}) == 3, "each has a traceback of its own"
        with pytest.raises(EngineFailed, match="no such tensor") as caught:
            await use(pool, "a")
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s <= 2
        (status,) = await pool.engines()
        assert (status.state, status.reason) == (EngineState.FAILED, "It crashed: no such tensor.")
        again = asyncio.create_task(pool.load("a"))
        (await starter.started.get()).become_ready()
        assert (await again).state is EngineState.READY

    run(starter, story)
    assert len(starter.engines) == 2


def test_a_fault_of_the_starter_is_a_failed_start() -> None:
    """A starter that breaks leaves no model that starts for ever."""

    class Broken(FakeStarter):
        async def start(self, wanted: Wanted, told: Callable[[EngineState], None]) -> FakeEngine:
            raise RuntimeError("a fault")

    async def story(pool: EnginePool) -> None:
        with pytest.raises(EngineFailed, match="The start of a broke: RuntimeError: a fault"):
            await use(pool, "a")

    run(Broken(A), story)


def test_a_crash_while_it_serves_is_told_to_who_waits() -> None:
    """Who waits behind the slots of an engine that dies gets its last words, and the next request starts it anew."""
    starter = FakeStarter(replace(A, slots=1))

    async def story(pool: EnginePool) -> None:
        async with in_use(pool, "a"):
            waiting = asyncio.create_task(use(pool, "a"))
            await asked(pool, "a")
            starter.engines[0].die("It was killed by signal 11.")
            with pytest.raises(EngineFailed, match="signal 11"):
                await waiting
            assert (await use(pool, "a")).url == starter.engines[1].served.url

    run(starter, story)


def test_an_engine_that_hangs_is_ended() -> None:
    """A busy engine that gives no sign of life is ended; who waits hears of it, and the next one gets a new engine."""
    starter = FakeStarter(replace(A, slots=1))

    async def story(pool: EnginePool) -> None:
        async with in_use(pool, "a"):
            waiting = asyncio.create_task(use(pool, "a"))
            await asked(pool, "a")
            starter.engines[0].hangs = True
            with pytest.raises(EngineFailed, match="no sign of life"):
                await waiting
            assert (await use(pool, "a")).url == starter.engines[1].served.url

    run(starter, story, Rules(hangs_after_s=0.06))


def test_an_engine_that_lives_or_has_nothing_to_do_is_left_alone() -> None:
    """A busy engine that gives signs of life isn't ended, nor one that has nothing to answer and gives none."""
    starter = FakeStarter(A, B)

    async def story(pool: EnginePool) -> None:
        await use(pool, "b")
        starter.engines[0].hangs = True
        async with in_use(pool, "a"):
            busy = starter.engines[1]
            while busy.signs < 30:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
            assert len(starter.live) == 2

    run(starter, story, Rules(hangs_after_s=0.06))


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("ends", [FakeEngine.become_ready, FakeEngine.fail], ids=["ready", "failed"])
def test_an_unload_at_any_instant_of_a_start_leaves_nothing(ends: Callable[[FakeEngine], None], steps: int) -> None:
    """However a start ends, a model that is unloaded in the very moment is gone; its next engine is watched as well."""
    starter = FakeStarter(A, by_hand=True)

    async def story(pool: EnginePool) -> None:
        first = asyncio.create_task(use(pool, "a"))
        engine = await starter.started.get()
        engine.may_stop.set()
        ends(engine)
        for _ in range(steps):
            await asyncio.sleep(0)
        with contextlib.suppress(NotFound):
            await pool.unload("a")
        await asyncio.wait([first])
        assert starter.live == []
        again = asyncio.create_task(pool.load("a"))
        engine = await starter.started.get()
        engine.become_ready()
        assert (await again).state is EngineState.READY
        engine.die()
        while (status := pool.status_of("a")) is None or status.state is not EngineState.FAILED:  # noqa: ASYNC110
            await asyncio.sleep(0)

    run(starter, story)


def test_a_start_that_ends_as_it_is_cancelled_is_stopped() -> None:
    """An engine that is ready in the very moment in which its start is cancelled doesn't outlive it."""

    class Late(FakeStarter):
        async def start(self, wanted: Wanted, told: Callable[[EngineState], None]) -> FakeEngine:
            try:
                return await super().start(wanted, told)
            except asyncio.CancelledError:
                engine = self.engines[-1]
                engine.ready = asyncio.get_running_loop().create_future()
                engine.may_stop.set()
                return engine

    starter = Late(A, by_hand=True)

    async def story(pool: EnginePool) -> None:
        client = asyncio.create_task(use(pool, "a"))
        await starter.started.get()
        await pool.unload("a")
        await asyncio.wait([client])
        assert starter.live == []

    run(starter, story)


def test_clients_who_leave_a_slow_start_stop_nothing() -> None:
    """A start whose clients all left goes on, and serves the next one."""
    starter = FakeStarter(A, by_hand=True)

    async def story(pool: EnginePool) -> None:
        clients = [asyncio.create_task(use(pool, "a")) for _ in range(5)]
        engine = await starter.started.get()
        await asked(pool, "a", 5)
        for client in clients:
            client.cancel()
        await asyncio.wait(clients)
        status = pool.status_of("a")
        assert status is not None
        assert (status.state, status.queued) == (EngineState.STARTING, 0)
        engine.become_ready()
        assert (await use(pool, "a")).url == engine.served.url

    run(starter, story)
    assert len(starter.engines) == 1


def test_clients_who_leave_before_the_start_take_the_wish_along() -> None:
    """A model whose clients left while another was busy is never started."""
    starter = FakeStarter(A, B)

    async def story(pool: EnginePool) -> None:
        async with in_use(pool, "a"):
            client = asyncio.create_task(use(pool, "b"))
            await asked(pool, "b")
            client.cancel()
            await asyncio.wait([client])
        assert await use(pool, "a")

    run(starter, story, Rules(max_loaded=1))
    assert [engine.wanted for engine in starter.engines] == [A]


@pytest.mark.parametrize("busy_turns", [0, 5], ids=["quick", "busy"])
def test_200_clients_on_three_models_with_room_for_one(busy_turns: int) -> None:
    """Every one of 200 clients of 3 models is answered, though only one model is loaded at a time."""
    starter = FakeStarter(A, B, C)
    answered: list[str] = []

    async def client(pool: EnginePool, name: str, number: int) -> None:
        with await pool.use(name, CHAT, key=str(number % 7), patient=True) as served:
            assert len(starter.live) == 1
            assert served.model_name == name
            for _ in range(busy_turns):
                await asyncio.sleep(0)
        answered.append(name)

    async def story(pool: EnginePool) -> None:
        async with asyncio.TaskGroup() as clients:
            for number in range(200):
                clients.create_task(client(pool, "abc"[number % 3], number))

    run(starter, story, ONE)
    assert len(answered) == 200
    assert len(starter.engines) < 100, "it doesn't swap at every request"


def test_a_model_under_constant_load_lets_others_in() -> None:
    """A model whose clients never pause drains for one that waits for its room."""
    starter = FakeStarter(A, B)

    async def story(pool: EnginePool) -> None:
        over = asyncio.Event()

        async def client() -> None:
            while not over.is_set():
                with await pool.use("a", CHAT, patient=True):
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as clients:
            for _ in range(3):
                clients.create_task(client())
            assert (await use(pool, "b")).model_name == "b"
            over.set()

    run(starter, story, ONE)


def test_too_many_who_wait_are_refused() -> None:
    """A request that finds a full queue is refused at once."""
    starter = FakeStarter(replace(A, slots=1))

    async def story(pool: EnginePool) -> None:
        async with in_use(pool, "a"):
            waiting = asyncio.create_task(use(pool, "a"))
            await asked(pool, "a")
            with pytest.raises(TooMany):
                await use(pool, "a")
            waiting.cancel()
            await asyncio.wait([waiting])

    run(starter, story, Rules(queue_limit=1))


def test_who_has_no_patience_hears_when_to_ask_again() -> None:
    """A request that isn't told of the progress is refused after a while; the start goes on for the next."""
    starter = FakeStarter(A, by_hand=True)

    async def story(pool: EnginePool) -> None:
        with pytest.raises(Unavailable, match="a isn't ready yet: it is starting") as caught:
            await use(pool, "a")
        assert caught.value.retry_after_s == 5
        while not starter.engines:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        starter.engines[0].become_ready()
        with await pool.use("a", CHAT, patient=True) as served:
            assert served.model_name == "a"

    run(starter, story, Rules(load_wait_s=0.01))


def test_out_of_memory_empties_the_idle_and_tries_again() -> None:
    """A start that ran out of memory is tried once more when the idle engines are gone."""
    starter = FakeStarter(A, B, by_hand=True)

    async def story(pool: EnginePool) -> None:
        first = asyncio.create_task(pool.load("a"))
        idle = await starter.started.get()
        idle.become_ready()
        await first
        client = asyncio.create_task(use(pool, "b"))
        (await starter.started.get()).fail(out_of_memory=True)
        idle.may_stop.set()
        again = await starter.started.get()
        assert (again.wanted, idle.gone.done()) == (B, True)
        again.become_ready()
        assert (await client).model_name == "b"

    run(starter, story)


def test_what_does_not_fit_is_refused_before_a_start() -> None:
    """A model that is larger than the machine's memory starts nothing."""
    starter = FakeStarter(replace(A, needs_bytes=9 * GB))
    starter.free = {"": DeviceMemory(8 * GB, 8 * GB)}

    async def story(pool: EnginePool) -> None:
        with pytest.raises(EngineFailed, match=r"a needs 9\.0 GB of memory, and this machine has 8\.0 GB"):
            await use(pool, "a")

    run(starter, story)
    assert starter.engines == []


@pytest.mark.parametrize("keep_alive_s", [0, 0.01])
def test_an_idle_engine_goes_by_itself(keep_alive_s: float) -> None:
    """An engine that nobody asks ends after its time, or at once."""
    starter = FakeStarter(A)

    async def story(pool: EnginePool) -> None:
        await use(pool, "a", keep_alive_s=keep_alive_s)
        assert await starter.engines[0].gone == "It was stopped."
        while await pool.engines():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)

    run(starter, story)


def test_unloading_waits_for_the_answer() -> None:
    """An unloaded model ends its answer first; who asks meanwhile gets a new engine."""
    starter = FakeStarter(A)

    async def story(pool: EnginePool) -> None:
        async with in_use(pool, "a"):
            unloading = asyncio.create_task(pool.unload("a"))
            client = asyncio.create_task(use(pool, "a"))
            await asked(pool, "a")
            status = pool.status_of("a")
            assert status is not None
            assert (status.state, status.in_flight) == (EngineState.DRAINING, 1)
            assert not starter.engines[0].gone.done()
        await unloading
        assert starter.engines[0].gone.done()
        assert (await client).url == starter.engines[1].served.url

    run(starter, story)


def test_unloading_ends_a_start() -> None:
    """A model that is unloaded while it starts leaves nothing behind, and who waits is refused."""
    starter = FakeStarter(A, by_hand=True)

    async def story(pool: EnginePool) -> None:
        client = asyncio.create_task(use(pool, "a"))
        engine = await starter.started.get()
        await pool.unload("a")
        assert starter.cancelled == [engine]
        with pytest.raises(Unavailable, match="a was unloaded before it was ready"):
            await client
        assert await pool.engines() == []

    run(starter, story)


def test_the_end_ends_everything() -> None:
    """A pool that stops ends engines that answer and that start, and refuses who waits and who comes."""
    starter = FakeStarter(A, B, by_hand=True)

    async def story() -> None:
        async with opened(starter, Rules(max_loaded=2)) as pool:
            loading = asyncio.create_task(pool.load("a"))
            (await starter.started.get()).become_ready()
            await loading
            holder = asyncio.create_task(hold(pool))
            waiting = asyncio.create_task(use(pool, "b"))
            await starter.started.get()
            await asked(pool, "b")
        with pytest.raises(Unavailable, match="The server stops"):
            await waiting
        with pytest.raises(Unavailable, match="The server stops"):
            await use(pool, "a")
        await holder

    async def hold(pool: EnginePool) -> None:
        with await pool.use("a", CHAT):
            await starter.engines[0].died()

    asyncio.run(story())
    assert starter.cancelled == [starter.engines[1]]


def test_a_pinned_model_stays() -> None:
    """A pinned model gives its room to nobody until a person unloads it."""
    starter = FakeStarter(A, B)

    async def story(pool: EnginePool) -> None:
        assert (await pool.load("a", pinned=True)).pinned
        with pytest.raises(Unavailable, match="pinned in memory: a") as caught:
            await use(pool, "b")
        assert caught.value.hint == "shelf unload a"
        await pool.unload("a")
        assert await use(pool, "b")

    run(starter, story, ONE)


def test_an_embedding_model_lives_beside_the_chat_model() -> None:
    """An embedding model starts where the only slot of the chat models is taken, and both are listed."""
    embed = wanted("embed", 4, kind=EngineKind.EMBED, needs_bytes=2 * GB)
    starter = FakeStarter(A, embed)

    async def story(pool: EnginePool) -> None:
        async with in_use(pool, "a"):
            await use(pool, "embed")
            first, second = await pool.engines()
        assert (first.model_name, first.in_flight, first.unload_in_s, first.memory_bytes) == ("a", 1, None, GB)
        assert (second.model_name, second.in_flight, second.memory_bytes) == ("embed", 0, 2 * GB)
        assert second.unload_in_s is not None
        assert 0 < second.unload_in_s <= 300

    run(starter, story, ONE)


# ---- models that change while they are served


def test_an_updated_model_is_served_anew() -> None:
    """The idle engine of an older commit goes when that is seen; the next request gets the new one."""
    starter = FakeStarter(A)

    async def story(pool: EnginePool) -> None:
        await use(pool, "a")
        starter.models["a"] = replace(A, version="new")
        await pool.look_at_all()
        await starter.engines[0].gone
        await use(pool, "a")
        assert starter.engines[1].wanted.version == "new"

    run(starter, story)


def test_a_busy_engine_of_an_updated_model_answers_to_the_end() -> None:
    """An update takes nothing from an answer that is under way."""
    starter = FakeStarter(A)

    async def story(pool: EnginePool) -> None:
        async with in_use(pool, "a"):
            starter.models["a"] = replace(A, version="new")
            await pool.look_at_all()
            assert not starter.engines[0].gone.done()
        await starter.engines[0].gone

    run(starter, story)


def test_one_request_looks_a_served_model_up_for_all() -> None:
    """Of many requests for a model that runs one finds out what its name means by now; the others don't wait for it."""
    answered = threading.Event()

    class Slow(FakeStarter):
        def look(self, model: str | int) -> Wanted:
            if self.looks:
                assert answered.wait(60)
            return super().look(model)

    starter = Slow(A)

    async def story(pool: EnginePool) -> None:
        await use(pool, "a")
        await asyncio.sleep(1.1)  # longer than the pool believes what a name means
        first = asyncio.create_task(use(pool, "a"))
        await asyncio.sleep(0)
        await asyncio.gather(*(use(pool, "a") for _ in range(20)))
        assert not first.done()
        answered.set()
        await first
        assert starter.looks == 2

    run(starter, story)


def test_a_renamed_model_is_served_on() -> None:
    """A model that gets another name keeps its engine, under the new name."""
    starter = FakeStarter(A)

    async def story(pool: EnginePool) -> None:
        await use(pool, "a")
        renamed = replace(A, model_name=B.model_name)
        starter.models = {"b": renamed}
        await pool.look_at_all()
        assert [status.model_name for status in await pool.engines()] == ["b"]
        assert (await use(pool, "b")).url == starter.engines[0].served.url

    run(starter, story)


def test_a_removed_model_is_unloaded() -> None:
    """The engine of a model that is no longer registered ends; one whose registry is away stays."""
    starter = FakeStarter(A)

    async def story(pool: EnginePool) -> None:
        await use(pool, "a")
        starter.why_not_looked = Unavailable("The registry doesn't answer.")
        await pool.look_at_all()
        assert not starter.engines[0].gone.done()
        starter.why_not_looked, starter.models = None, {}
        await pool.look_at_all()
        await starter.engines[0].gone

    run(starter, story)
