"""A server ends gracefully, resumes where it was, and writes a log that can be collected."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.services.shelf import Shelf
from tests.disks import kept_segments
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, ROOT, Home, Server, free_port, random_bytes, wait_until

REPO = "org/name"
BIG = random_bytes(10 * SEGMENT_BYTES)
FILE = random_bytes(32 * MIB)
"""More than the sockets hold, and few enough bytes to be read before the server gives up."""
TOKEN = "hf_" + "s3cretToken" * 3
KEY = "the key of this server"


def test_a_restart_fetches_no_segment_twice(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """SIGTERM during a pull ends the server with 0, and the next server fetches only what was missing."""
    hub.add_repo(REPO, {"model.safetensors": BIG})
    hub.pause(after_bytes=9 * SEGMENT_BYTES)
    with home.serve() as first:
        first.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO})
        hub.wait_for_bytes(9 * SEGMENT_BYTES)
        wait_until(lambda: kept_segments(home) >= 2, "segments to be kept")
        code = first.end(signal.SIGTERM)
        log = first.log.read_text()
    arrived = kept_segments(home)
    job = shelf.services.registry.jobs()[0]
    hub.stop()  # don't count a held answer as sent to a dead process
    hub.resume()
    hub.start()
    before = hub.bytes_sent

    with home.serve() as second:
        second.wait_for_state("m", "ready")

    assert (code, "Traceback" in log) == (0, False)
    assert (job.state, job.owner, arrived >= 2) == ("queued", "", True)
    assert hub.bytes_sent - before == len(BIG) - arrived * SEGMENT_BYTES
    assert (shelf.path("m") / "model.safetensors").read_bytes() == BIG
    assert violations(shelf) == []


@pytest.fixture
def served(hub: FakeHub, home: Home) -> str:
    """The path of a model's file on a server."""
    hub.add_repo(REPO, {"model.safetensors": FILE})
    home.run("add", "m", REPO).checked()
    return f"/hf/{REPO}/resolve/main/model.safetensors"


def begin_to_read(server: Server, path: str) -> tuple[socket.socket, bytes]:
    """Request a file and read the beginning of the answer."""
    url = urlsplit(server.url)
    asking = socket.create_connection((url.hostname, url.port), timeout=60)
    asking.sendall(f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
    return asking, asking.recv(MIB)


def test_an_answer_under_way_is_finished(home: Home, served: str) -> None:
    """A client that is reading a file when SIGTERM comes gets all of it; then the server ends."""
    with home.serve() as server:
        asking, got = begin_to_read(server, served)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Shutting down" in server.log.read_text(), "the server to end")
        with asking, asking.makefile("rb") as rest:
            got += rest.read()
        code = server.process.wait(60)  # a second signal would end it during shutdown

    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert (body == FILE, code) == (True, 0)


def test_a_client_that_stalls_does_not_hold_the_end_up(home: Home, served: str) -> None:
    """An answer that nobody reads is cut off some seconds after SIGTERM, and the exit code is still 0."""
    with home.serve() as server:
        asking, _ = begin_to_read(server, served)
        with asking:
            code = server.end(signal.SIGTERM)

    assert code == 0


def test_a_log_as_json_is_one_object_a_line(hub: FakeHub, home: Home, tmp_path: Path) -> None:
    """With SHELF_LOG=json every line, from start to end, is a JSON object without secrets."""
    hub.token = TOKEN
    hub.add_repo(REPO, {"config.json": b"{}"}, private=True)
    port, log = free_port(), tmp_path / "log"
    environ = home.environ(SHELF_LOG="json", SHELF_PORT=str(port), HF_TOKEN=TOKEN, SHELF_API_KEY=KEY)
    with log.open("wb") as output:
        command = [sys.executable, str(ROOT / "main.py")]
        process = subprocess.Popen(command, cwd=home.work, env=environ, stderr=output)
    server = Server(process, log, f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: "listening" in log.read_text(), "the server to listen")
        authorization = f"Bearer {KEY}"
        server.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO}, Authorization=authorization)
        wait_until((home.primary / "modelshelf/models/m.json").exists, "the model")
        code = server.end()
    finally:
        process.kill()
        process.wait()

    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert code == 0
    assert all(one.keys() >= {"time", "level", "logger", "event"} for one in told)
    listening = next(one for one in told if one["event"] == "listening")
    assert (listening["url"], listening["level"]) == (server.url, "info")
    assert "registered" in [one["event"] for one in told if one.get("model_name") == "m"]
    assert not any(secret in log.read_text() for secret in (TOKEN, KEY))


def test_a_log_that_is_neither_text_nor_json_is_refused(home: Home) -> None:
    """An unknown SHELF_LOG ends the server before it starts."""
    refused = home.run("serve", SHELF_LOG="yaml")

    assert (refused.code, refused.out) == (2, "")
    assert "SHELF_LOG" in refused.err
