"""A server that is killed while its engines run."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

import httpx2

from modelshelf.store import engine_files
from tests.children import with_mark
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Home, wait_until

PROGRAM = Path(__file__).parents[2] / "fakes" / "engine_program.py"


def test_a_killed_server_leaves_no_engine_and_no_record(home: Home, hub: FakeHub) -> None:
    """When SIGKILL ends a server amid a stream its engine ends too, and the next server forgets what was written."""
    home.extra["LLAMA_SERVER"] = shlex.join([sys.executable, "-P", str(PROGRAM), "--token-s", "0.05"])
    hub.add_repo("org/tiny", {"model.gguf": gguf({"general.architecture": "llama"})})
    home.run("add", "tiny", "org/tiny").checked()
    state = home.root / "state"
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 10_000}

    with (
        home.serve() as server,
        httpx2.stream("POST", f"{server.url}/v1/chat/completions", json=asked, timeout=60) as reply,
    ):
        assert next(reply.iter_raw())
        (record,) = engine_files.records(state)
        alive = with_mark(record.mark)
        server.end(signal.SIGKILL)
    wait_until(lambda: with_mark(record.mark) == [], "the engine to be gone")
    with home.serve():
        wait_until(lambda: engine_files.records(state) == [], "the record to be forgotten")

    assert len(alive) >= 2
