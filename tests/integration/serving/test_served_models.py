"""Models that a whole server serves, with engines that are real processes."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelshelf.bootstrap.engines import make_pool
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.serving import Reply, Serving, serving
from tests.world import Home

PROGRAM = Path(__file__).parents[2] / "fakes" / "engine_program.py"
WRITER = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": 1024,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
}


@dataclass
class Served:
    """A server over a library with models `one` and `two`."""

    shelf: Shelf
    server: Serving

    def ask(self, model: str, **more: Any) -> Reply:
        """Ask a model."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
        return self.server.ask("POST", "/v1/chat/completions", json.dumps(body).encode())

    def leases(self) -> list[str]:
        """Return the models that engines hold."""
        return [lease.model_name for lease in self.shelf.services.leaser.live() if lease.kind == "engine"]


@contextlib.contextmanager
def served(home: Home, hub: FakeHub, **settings: str) -> Iterator[Served]:
    """Serve a library whose llama-server is the tests' own engine."""
    command = shlex.join([sys.executable, "-P", str(PROGRAM)])
    for name in ("one", "two"):
        hub.add_repo(f"org/{name}", {"model.gguf": gguf(WRITER)})
    with home.open() as shelf:
        for name in ("one", "two"):
            shelf.register(name, f"org/{name}")
        pool = make_pool(shelf.services, home.settings(LLAMA_SERVER=command, **settings))
        with serving(shelf, engines=pool) as server:
            yield Served(shelf, server)


@pytest.fixture
def both(home: Home, hub: FakeHub) -> Iterator[Served]:
    """A server with room for one model."""
    with served(home, hub, MAX_LOADED="1") as made:
        yield made


def test_a_cold_model_answers(both: Served) -> None:
    """A request for a model that isn't loaded starts its engine, which holds a lease, and is answered by it."""
    reply = both.ask("one")
    assert (reply.status, reply.json["model"]) == (200, "one")
    assert both.leases() == ["one"]


def test_one_makes_room_for_the_other(both: Served) -> None:
    """With room for one model each answers in turn, and only the last holds a lease."""
    assert [both.ask(name).status for name in ("one", "two", "one")] == [200, 200, 200]
    assert both.leases() == ["one"]


def test_the_end_of_the_server_ends_its_engines(home: Home, hub: FakeHub) -> None:
    """When the server ends, no engine is left, and no lease."""
    with served(home, hub) as made:
        assert made.ask("one").status == 200
        assert made.leases() == ["one"]
    with home.open() as shelf:
        assert shelf.services.leaser.live() == []
