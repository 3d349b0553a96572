"""How a child lives and dies, when all goes wrong that can."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

import psutil
import pytest

from modelshelf.domain.names import ModelName
from modelshelf.domain.serving import Served
from modelshelf.engines.child import Child, Launch
from modelshelf.engines.left_behind import end_left_behind
from modelshelf.engines.ports import is_theirs
from modelshelf.engines.running import Engine, Readiness, start_engine
from modelshelf.errors import EngineFailed
from tests.children import with_mark
from tests.integration.engines.conftest import launch_of
from tests.world import free_port, wait_until

StartChild = Callable[..., Child]
ENDS_S = 30.0


async def started(launch: Launch, *, stalls: bool = False, ended: Future[None] | None = None) -> Engine:
    """Start an engine; `ended` is told of its end."""
    return await start_engine(
        launch,
        Readiness("/health", ""),
        lambda url: Served(ModelName("smol"), "llama", url, "smol"),
        lambda _: stalls,
        lambda _: None,
        lambda: ended.set_result(None) if ended is not None else None,
    )


@pytest.mark.parametrize(
    ("words", "why", "out_of_memory"),
    [
        (("--crash", "starting"), "unknown model architecture", False),
        (("--port-taken",), "Address already in use", False),
        (("--out-of-memory",), "failed to allocate buffer", True),
    ],
    ids=["crash", "port", "memory"],
)
def test_a_start_that_fails_says_why_in_the_engines_words(
    words: tuple[str, ...], why: str, out_of_memory: bool
) -> None:
    """An engine that ends while it starts is an error with its last words, which tell whether memory was short."""
    with pytest.raises(EngineFailed, match=why) as caught:
        asyncio.run(started(launch_of(*words)))

    assert caught.value.out_of_memory is out_of_memory
    assert caught.value.tail[0].startswith("fake engine: loading")


def test_a_program_that_is_not_there_says_so() -> None:
    """A command that can't be started fails with its name."""
    launch = Launch(["/nowhere/llama-server"], dict(os.environ), "x")

    with pytest.raises(EngineFailed, match="/nowhere/llama-server can't be started: No such file"):
        asyncio.run(started(launch))


def test_nothing_is_sent_to_another_program_on_its_port() -> None:
    """Where another program took the port that was chosen for an engine, it isn't even connected to."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        launch = replace(launch_of("--hang", "starting"), url=f"http://127.0.0.1:{other.getsockname()[1]}")

        with pytest.raises(EngineFailed, match="got on no more"):
            asyncio.run(started(launch, stalls=True))
        with pytest.raises(BlockingIOError):
            other.accept()


def test_an_engine_on_a_chosen_port_is_ready() -> None:
    """An engine that listens where it was told to is asked there."""
    port = free_port()

    engine = asyncio.run(started(replace(launch_of("--port", str(port)), url=f"http://127.0.0.1:{port}")))
    asyncio.run(engine.stop())

    assert engine.served.url == f"http://127.0.0.1:{port}"


def test_a_containers_port_may_be_its_runtimes() -> None:
    """The port of a container counts as its own where our user or root holds it, and that of no other program."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert is_theirs(port, [], ["/usr/bin/docker", "run"])
        assert not is_theirs(port, [], ["/usr/bin/vllm", "serve"])
    assert not is_theirs(port, [], ["/usr/bin/docker", "run"])


def test_a_stopped_engine_gives_no_sign_of_life() -> None:
    """Signs of life come as long as an engine answers its probe; one that is halted gives none, and still ends."""
    engine = asyncio.run(started(launch_of(grace_s=0.5)))
    first, second = engine.signs_of_life(), engine.signs_of_life()
    for process in psutil.Process(engine._child.pid).children(recursive=True):
        process.suspend()
    third, fourth = engine.signs_of_life(), engine.signs_of_life()
    asyncio.run(engine.stop())

    assert (first < second, third == fourth) == (True, True)


def test_a_start_that_gets_on_no_more_is_ended() -> None:
    """An engine that is given up is stopped and fails with its last words, and its end is told."""
    ended: Future[None] = Future()
    launch = launch_of("--hang", "starting")

    with pytest.raises(EngineFailed, match="got on no more"):
        asyncio.run(started(launch, stalls=True, ended=ended))

    ended.result(ENDS_S)
    assert with_mark(launch.mark) == []


def test_a_cancelled_start_leaves_nothing() -> None:
    """When the wish for a start is taken back, its processes are gone before the cancellation is over."""
    launch = launch_of("--hang", "starting", "--child")

    async def story() -> None:
        start = asyncio.create_task(started(launch))
        await asyncio.to_thread(wait_until, lambda: len(with_mark(launch.mark)) == 3, "guard, engine and child")
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start

    asyncio.run(story())

    assert with_mark(launch.mark) == []


def test_a_start_that_is_cancelled_at_once_tells_its_end() -> None:
    """A start that is cancelled while its process is made is told to have ended before the cancellation is over."""
    launch, ended = launch_of("--hang", "starting"), Future[None]()

    async def story() -> None:
        start = asyncio.create_task(started(launch, ended=ended))
        await asyncio.sleep(0)  # the start has begun
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start

    asyncio.run(story())

    assert ended.done()
    assert with_mark(launch.mark) == []


def test_a_child_that_cannot_be_made_tells_its_end() -> None:
    """If the system refuses to make the process, what was held for it is given back."""
    launch, ended = launch_of(), Future[None]()

    with pytest.raises(ValueError, match="null byte"):
        asyncio.run(started(replace(launch, environment={"A": "\0"}), ended=ended))

    assert ended.done()


def test_an_engine_that_dies_says_why() -> None:
    """Whoever waits for the end of a ready engine is told of the signal that ended it, and the end is told once."""
    ended: Future[None] = Future()

    async def story() -> str:
        engine = await started(launch_of("--memory-bytes", "40000000"), ended=ended)
        assert engine.memory_bytes() > 40_000_000
        (program,) = (one for one in psutil.Process().children(recursive=True) if "--alias" in one.cmdline()[3:4])
        program.kill()
        return await engine.died()

    why = asyncio.run(story())

    assert why.startswith("It was ended by SIGKILL, perhaps because memory was short")
    ended.result(ENDS_S)


def test_what_a_program_leaves_in_its_group_ends_with_it(start: StartChild) -> None:
    """When a program crashes, the children that it started are ended too."""
    launch = launch_of("--child")
    child = start(launch=launch)
    wait_until(lambda: child.url, "the engine")
    program = next(one for one in with_mark(launch.mark) if "engine_program.py" in " ".join(one.cmdline()[2:3]))

    program.kill()

    assert child.ended.result(ENDS_S) == 128 + signal.SIGKILL
    assert with_mark(launch.mark) == []


def test_a_program_that_does_not_listen_to_reason_is_killed(start: StartChild) -> None:
    """A program that ignores SIGTERM is killed once its grace is over."""
    launch = launch_of("--hang", "stopping", grace_s=0.2)
    child = start(launch=launch)
    wait_until(lambda: child.url, "the engine")

    child.stop()

    assert child.ended.result(0) == 128 + signal.SIGKILL
    assert with_mark(launch.mark) == []


def test_a_killed_guard_takes_its_program_along(start: StartChild) -> None:
    """When the guard itself is killed, the kernel ends the program."""
    launch = launch_of()
    child = start(launch=launch)
    wait_until(lambda: child.url, "the engine")

    os.kill(child.pid, signal.SIGKILL)

    child.ended.result(ENDS_S)
    wait_until(lambda: with_mark(launch.mark) == [], "the program to be gone")


def test_what_outlived_guard_and_server_is_found_by_its_mark(start: StartChild) -> None:
    """A process that left its group and lost all its parents is ended by its mark; others with another mark stay."""
    code = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
    )
    lost = Launch([sys.executable, "-c", code], dict(os.environ), f"lost-{os.getpid()}")
    start(launch=lost).ended.result(ENDS_S)
    other = launch_of()
    start(launch=other)
    assert len(with_mark(lost.mark)) == 1

    assert end_left_behind(frozenset({lost.mark})) == 1

    assert with_mark(lost.mark) == []
    assert with_mark(other.mark)
    assert end_left_behind(frozenset()) == 0


def test_only_the_last_lines_are_kept(start: StartChild) -> None:
    """Of a program that writes much, 200 lines of at most 2,000 characters are kept, and a bar's steps are lines."""
    code = "print('\\n'.join(map(str, range(300)))); print('10%\\r20%', end='\\r'); print('x' * 5000)"
    child = start(launch=Launch([sys.executable, "-c", code], dict(os.environ), "x"))
    child.ended.result(ENDS_S)

    lines = child.lines()

    assert len(lines) == 200
    assert lines[-4:-1] == ("299", "10%", "20%")
    assert max(map(len, lines)) == 2000
