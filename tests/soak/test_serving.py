"""An hour of serving: what the server holds before it and after it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.soak.clients import Clients
from tests.world import Home, Server, wait_until

MINUTES = float(os.environ.get("SHELF_SOAK", "0"))
PROGRAM = Path(__file__).parents[1] / "fakes" / "engine_program.py"
HEADER = {"general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 1024}
WISHES = {
    "plain": ["--tokens", "200"],
    "slow": ["--start-s", "0.5", "--token-s", "0.01", "--tokens", "50", "--child"],
    "frail": ["--crash", "streaming"],
}
MOST_MORE_BYTES = 16 * 2**20
"""How much memory a server may hold more at the end than after half of the work: caches fill, heaps have holes."""
MOST_MORE_DESCRIPTORS = 16
"""The registry keeps some connections open, as many as there were threads at once."""
CLIENTS, PARTS = 12, 10

pytestmark = pytest.mark.skipif(not MINUTES, reason="make soak runs this; SHELF_SOAK is the number of minutes")


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    memory_bytes: int
    descriptors: int
    threads: int
    children: int

    @staticmethod
    def by(server: Server) -> Held:
        """Return what a server holds now."""
        process = psutil.Process(server.process.pid)
        children = len(process.children(recursive=True))
        return Held(process.memory_info().rss, process.num_fds(), process.num_threads(), children)

    def __str__(self) -> str:
        """Return it as a line."""
        memory = f"{self.memory_bytes / 1e6:.1f} MB"
        return f"{memory}, {self.descriptors} descriptors, {self.threads} threads, {self.children} children"


@pytest.fixture
def server(home: Home, hub: FakeHub) -> Iterator[Server]:
    """A server with three models that generate, one that embeds, and room for two at a time."""
    wishes = home.root / "wishes.json"
    wishes.write_text(json.dumps(WISHES))
    home.extra["LLAMA_SERVER"] = shlex.join([sys.executable, "-P", str(PROGRAM), "--wishes", str(wishes)])
    for name in (*WISHES, "reader"):
        more = {"llama.pooling_type": 1} if name == "reader" else {}
        hub.add_repo(f"org/{name}", {f"{name}-Q4_K_M.gguf": gguf(HEADER | more)})
        home.run("add", name, f"org/{name}").checked()
    with home.serve(MAX_LOADED="2", KEEP_ALIVE="2s", LOAD_WAIT_S="60") as made:
        yield made


def at_rest(server: Server) -> Held:
    """Return what a server holds once its engines are gone, with the connections to them and to its clients."""
    wait_until(lambda: not Held.by(server).children, "the engines to go")
    wait_until(lambda: not _connections(server), "the connections to go")
    return Held.by(server)


def _connections(server: Server) -> int:
    return sum(each.status == "ESTABLISHED" for each in psutil.Process(server.process.pid).net_connections("tcp"))


def test_nothing_leaks(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """At rest a server holds no children, and hardly more memory and descriptors than after half of the work."""
    clients, held = Clients(server.url, tuple(WISHES), "reader"), [at_rest(server)]
    for _ in range(PARTS):
        clients.run(CLIENTS, MINUTES * 60 / PARTS)
        held.append(at_rest(server))
    half, end = held[PARTS // 2], held[-1]

    with capsys.disabled():
        print(f"\n{sum(clients.met.values())} requests in {MINUTES:g} minutes:")
        print("".join(f"  {count:7} {what}\n" for what, count in sorted(clients.met.items())))
        print("".join(f"  amiss: {what}\n" for what in clients.wrong[:20]), end="")
        print("".join(f"  after {part:2} of {PARTS} parts: {each}\n" for part, each in enumerate(held)), end="")
    assert clients.wrong == []
    assert end.descriptors - half.descriptors <= MOST_MORE_DESCRIPTORS
    assert end.memory_bytes - half.memory_bytes <= MOST_MORE_BYTES
