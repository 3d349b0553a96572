"""One library with two servers, with and without a key, and the clients that use them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.environments import Environment, environment
from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes, tree

KEY = "hf_" + "k" * 34
"""A form that llama-server and the JS client insist on."""
MODEL = {
    "config.json": b'{"model_type": "llama", "hidden_size": 64}',
    "model.safetensors": random_bytes(30_000_000),
    "sub/extra.bin": b"extra",
}


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


_HEADER = struct.pack("<IQQ", 3, 0, 1) + _string("general.architecture") + struct.pack("<I", 8) + _string("llama")
GGUF = b"GGUF" + _HEADER
QUANTS = {f"gg-{quant}.gguf": GGUF + bytes(64) + quant.encode() for quant in ("Q4_K_M", "Q8_0")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need the clients' environments unless SHELF_CLIENTS asks for them."""
    if not os.environ.get("SHELF_CLIENTS"):
        asked = pytest.mark.skip(reason="make test-clients runs this; it installs the clients below build/clients")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(asked)


@dataclass
class Library:
    """A library on loopback, and its hub."""

    home: Home
    hub: FakeHub
    open_url: str
    """The hub face of the server without a key."""
    keyed_url: str
    """The hub face of the server with a key."""

    def add(self, repo_id: str, files: Mapping[str, bytes], *words: str) -> None:
        """Register a model from the hub."""
        self.hub.add_repo(repo_id, dict(files))
        self.home.run("add", repo_id.rpartition("/")[2], repo_id, *words).checked()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library with a whole model and a partial one."""
    with FakeHub() as hub:
        home = Home(tmp_path_factory.mktemp("clients") / "user", hub.url)
        with home.serve() as unlocked, home.serve(SHELF_API_KEY=KEY) as keyed:
            made = Library(home, hub, f"{unlocked.url}/hf", f"{keyed.url}/hf")
            made.add("org/name", MODEL)
            made.add("org/gg", QUANTS, "--include", "*Q4_K_M*")
            yield made
        for child in home.children:
            child.clear_away()


@dataclass
class Client:
    """A client's program with its own home."""

    name: str
    root: Path

    @property
    def environment(self) -> Environment:
        """The environment it is installed in."""
        return environment(self.name)

    @property
    def cache(self) -> Path:
        """Its HF_HOME."""
        return self.root / "cache"

    def run(self, *command: str, url: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs to the end; of this process's environment it gets only PATH."""
        usual = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "HF_HOME": str(self.cache),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        program = self.environment.program(command[0])
        return subprocess.run(
            [program, *command[1:]],
            env=usual | ({"HF_ENDPOINT": url} if url else {}) | more,
            cwd=self.root,
            text=True,
            capture_output=True,
            timeout=300,
        )

    def python(self, code: str, url: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run Python code."""
        return self.run("python", "-c", code, url=url, **more)

    def files(self, repo_id: str) -> dict[str, bytes]:
        """Return the files of a repository in its cache, at any commit."""
        found: dict[str, bytes] = {}
        for snapshot in (self.cache / "hub" / f"models--{repo_id.replace('/', '--')}" / "snapshots").glob("*"):
            found |= tree(snapshot)
        return found


class Cutter:
    """A breaking line: forwards bytes to a server, and cuts the first connections after some of them."""

    def __init__(self, url: str, cuts: int, after_bytes: int) -> None:
        self._host, _, rest = url.removeprefix("http://").partition("/")
        self._left, self._after_bytes = cuts, after_bytes
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/{rest}"
        self.cut = 0
        """How many connections were cut."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections, and end the open ones."""
        for end in (self._listener, *self._ends):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            host, _, port = self._host.partition(":")
            far = socket.create_connection((host, int(port)))
            self._ends += [near, far]
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):  # the other end closed
            while chunk := source.recv(1 << 16):
                target.sendall(chunk)
                passed += len(chunk)
                if is_answer and passed > self._after_bytes and self._left:
                    self._left -= 1
                    self.cut += 1
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
