"""An hour of serving: what the server holds before it and after it."""

from __future__ import annotations

import json
import os
import shlex
import signal
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
WATCHED = Path(__file__).with_name("watched.py")
HEADER = {"general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 1024}
WISHES = {
    "plain": ["--tokens", "200"],
    "slow": ["--start-s", "0.5", "--token-s", "0.01", "--tokens", "50", "--child"],
    "frail": ["--crash", "streaming"],
}
MOST_MORE_BLOCKS = 5_000
"""How many more of Python's blocks may be in use at the end than after half of the work: caches fill. One block that
each request leaves would be several times as many in an hour."""
MOST_MORE_MALLOC_BYTES = 2**20
"""The same for the bytes that malloc gave out, such as SQLite's pages, of a registry that grows."""
MOST_MORE_BYTES = 16 * 2**20
"""The same for all the memory that a server has of the system: its heaps have holes."""
MOST_MORE_DESCRIPTORS = 16
"""The registry keeps some connections open, as many as there were threads at once."""
CLIENTS, PARTS = 12, 10

pytestmark = pytest.mark.skipif(not MINUTES, reason="make soak runs this; SHELF_SOAK is the number of minutes")


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    memory_bytes: int
    """What it has of the system."""
    blocks: int
    """What of it is in use by Python's objects."""
    malloc_bytes: int
    """What of it is in use by all else."""
    descriptors: int
    threads: int

    def __str__(self) -> str:
        """Return it as a line."""
        memory = f"{self.memory_bytes / 1e6:.1f} MB ({self.blocks} blocks, malloc {self.malloc_bytes / 1e6:.2f} MB)"
        return f"{memory}, {self.descriptors} descriptors, {self.threads} threads"


@dataclass(frozen=True)
class Watched:
    """A server that says what of its memory is in use."""

    server: Server
    report: Path

    @property
    def process(self) -> psutil.Process:
        """The server's process."""
        return psutil.Process(self.server.process.pid)

    def at_rest(self) -> Held:
        """Return what it holds once its engines are gone, with the connections to them and to its clients."""
        process = self.process
        wait_until(lambda: not process.children(recursive=True), "the engines to go")
        wait_until(lambda: not self._connections(), "the connections to go")
        memory_bytes = process.memory_info().rss
        self.report.unlink(missing_ok=True)
        process.send_signal(signal.SIGUSR1)
        wait_until(self.report.exists, "the report")
        in_use = json.loads(self.report.read_text(encoding="utf-8"))
        return Held(memory_bytes, **in_use, descriptors=process.num_fds(), threads=process.num_threads())

    def trimmed_bytes(self) -> int:
        """Return what it has of the system once malloc gave back what it can."""
        self.process.send_signal(signal.SIGUSR2)
        self.at_rest()
        return int(self.process.memory_info().rss)

    def _connections(self) -> int:
        return sum(each.status == "ESTABLISHED" for each in self.process.net_connections("tcp"))


@pytest.fixture
def watched(home: Home, hub: FakeHub) -> Iterator[Watched]:
    """A server with three models that generate, one that embeds, and room for two at a time."""
    wishes = home.root / "wishes.json"
    wishes.write_text(json.dumps(WISHES))
    home.extra["LLAMA_SERVER"] = shlex.join([sys.executable, "-P", str(PROGRAM), "--wishes", str(wishes)])
    for name in (*WISHES, "reader"):
        more = {"llama.pooling_type": 1} if name == "reader" else {}
        hub.add_repo(f"org/{name}", {f"{name}-Q4_K_M.gguf": gguf(HEADER | more)})
        home.run("add", name, f"org/{name}").checked()
    report = home.root / "in-use.json"
    wrapper = (sys.executable, "-P", str(WATCHED), str(report))
    with home.serve(*wrapper, MAX_LOADED="2", KEEP_ALIVE="2s", LOAD_WAIT_S="60") as server:
        yield Watched(server, report)


def test_nothing_leaks(watched: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    """At rest a server holds no children, and hardly more memory and descriptors than after half of the work."""
    clients, held = Clients(watched.server.url, tuple(WISHES), "reader"), [watched.at_rest()]
    for part in range(PARTS):
        clients.run(CLIENTS, MINUTES * 60 / PARTS)
        held.append(watched.at_rest())
        with capsys.disabled():
            print(
                f"\n  after {part + 1:2} of {PARTS} parts, {sum(clients.met.values()):7} requests: {held[-1]}", end=""
            )
    half, end = held[PARTS // 2], held[-1]

    with capsys.disabled():
        print(f"\n{sum(clients.met.values())} requests in {MINUTES:g} minutes:")
        print("".join(f"  {count:7} {what}\n" for what, count in sorted(clients.met.items())))
        print("".join(f"  amiss: {what}\n" for what in clients.wrong[:20]), end="")
        print(
            f"  fresh: {held[0]}\n  with malloc's holes given back at the end: {watched.trimmed_bytes() / 1e6:.1f} MB"
        )
    assert clients.wrong == []
    assert end.descriptors - half.descriptors <= MOST_MORE_DESCRIPTORS
    assert end.blocks - half.blocks <= MOST_MORE_BLOCKS
    assert end.malloc_bytes - half.malloc_bytes <= MOST_MORE_MALLOC_BYTES
    assert end.memory_bytes - half.memory_bytes <= MOST_MORE_BYTES
