"""An engine, the tests' own and llama.cpp alike: it gets ready, answers, streams, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from modelshelf.domain.backends import BACKENDS
from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.engine_wishes import EngineSettings
from modelshelf.domain.launch_command import LaunchValues, command_of
from modelshelf.domain.names import ModelName
from modelshelf.domain.serving import Served
from modelshelf.engines.child import Launch
from modelshelf.engines.found import found_backends
from modelshelf.engines.running import Engine, Readiness, start_engine
from tests.children import with_mark
from tests.world import wait_until

PROGRAM = (sys.executable, "-P", str(Path(__file__).parents[1] / "fakes" / "engine_program.py"))
LLAMA = BACKENDS["llama"]


@dataclass(frozen=True)
class Kind:
    """An engine that is tested."""

    program: tuple[str, ...]
    model: str

    def launch(self, *more: str) -> Launch:
        """Return how it is started."""
        values = LaunchValues(self.model, "smol", 0, "secret", context=512, slots=2)
        command = command_of(self.program, LLAMA, EngineKind.GENERATE, values)
        variables = {name: values.fill(text) for name, text in LLAMA.environment.items()}
        return Launch([*command, *more], dict(os.environ) | variables, uuid.uuid4().hex)


@pytest.fixture(params=["fake", pytest.param("llama", marks=pytest.mark.model)])
def kind(request: pytest.FixtureRequest) -> Kind:
    """The tests' own engine, and llama.cpp's server in its worker with the demo's model."""
    if request.param == "fake":
        return Kind(PROGRAM, "/nowhere/model.gguf")
    found = next(one for one in found_backends(EngineSettings()) if one.name == "llama")
    if found.why_not:
        pytest.skip(found.why_not)
    from demo.build_models import find_gguf

    return Kind(found.program, str(find_gguf()))


def served(url: str) -> Served:
    """Return where it answers."""
    return Served(ModelName("smol"), "llama", url, "smol", "secret")


@asynccontextmanager
async def running(launch: Launch) -> AsyncIterator[Engine]:
    """Start an engine, and stop it in the end."""
    engine = await start_engine(
        launch, Readiness("/health", "secret"), served, lambda _: False, lambda _: None, lambda: None
    )
    try:
        yield engine
    finally:
        await engine.stop()


def ask(engine: Engine, path: str, body: Mapping[str, object], key: str = "secret") -> httpx2.Response:
    """Return what it answers."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.post(f"{engine.served.url}{path}", json=body, headers=headers, timeout=60)


CHAT = {"model": "smol", "messages": [{"role": "user", "content": "What is 2+2?"}], "max_tokens": 8}


def test_it_gets_ready_answers_and_leaves_nothing(kind: Kind) -> None:
    """A ready engine answers under its model's name and holds memory; once it was stopped no process is left."""

    async def story() -> None:
        launch = kind.launch()
        async with running(launch) as engine:
            answer = ask(engine, "/v1/chat/completions", CHAT).json()
            assert answer["choices"][0]["message"]["content"]
            assert answer["model"] == "smol"
            assert answer["usage"]["completion_tokens"] <= 8
            assert engine.memory_bytes() > 5_000_000
            assert engine.load_s > 0
            assert any("listening on" in line for line in engine.log())
        assert await engine.died() == "It was stopped."
        assert with_mark(launch.mark) == []

    asyncio.run(story())


def test_it_streams(kind: Kind) -> None:
    """A stream brings the answer in pieces, says why it ends, and ends with [DONE]."""

    async def story() -> None:
        async with running(kind.launch()) as engine:
            text = ask(engine, "/v1/chat/completions", CHAT | {"stream": True}).text
        events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        assert events.pop() == "[DONE]"
        choices = [choice for event in events for choice in json.loads(event)["choices"]]
        assert len([choice for choice in choices if choice["delta"].get("content")]) > 1
        assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]][-1] in ("stop", "length")

    asyncio.run(story())


def test_it_answers_nobody_without_its_key(kind: Kind) -> None:
    """Another key than the one that was made for it is refused."""

    async def story() -> None:
        async with running(kind.launch()) as engine:
            assert ask(engine, "/v1/chat/completions", CHAT, key="guessed").status_code == 401

    asyncio.run(story())


def test_it_dies_with_its_server(kind: Kind, tmp_path: Path) -> None:
    """An engine whose server is killed with SIGKILL is gone, guard and all."""
    launch = kind.launch()
    code = (
        "import json, os, sys\n"
        "from modelshelf.engines.child import Child, Launch\n"
        "said = json.loads(sys.stdin.read())\n"
        "child = Child(Launch(said['command'], dict(os.environ), said['mark']), lambda line: print(line, flush=True))\n"
        "child.ended.result()\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps({"command": launch.command, "mark": launch.mark}))
    server.stdin.close()
    assert any("listening on" in line for line in server.stdout)
    assert len(with_mark(launch.mark)) >= 2

    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()

    wait_until(lambda: with_mark(launch.mark) == [], "the engine to be gone")
