"""A server survives many connections, slow heads, slow bodies and slow readers."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest
from uvicorn.protocols.http import httptools_impl

from modelshelf.server.connections import GuardedProtocol, Limits
from modelshelf.server.hub.sendfile import ZeroCopyProtocol
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.integration.mirror.hub_face_tree import add_commit, add_sparse
from tests.serving import Serving, parse, read_all, serving
from tests.store.fuse import share
from tests.world import MIB, Home, random_bytes, wait_until

COMMIT = "a" * 40
SOON = Limits(connections=20, head_s=1.0, head_bytes=8 << 10, body_s=1.0, stall_s=1.0)
LINGER = b"\1\0\0\0\0\0\0\0"


@pytest.fixture
def served(shelf: Shelf) -> Iterator[Serving]:
    """A server with low limits."""
    with serving(shelf, limits=SOON) as running:
        yield running


def begin(server: Serving, request: str) -> socket.socket:
    """Return a connection on which a request was begun."""
    connection = server.connect()
    connection.sendall(request.format(host=server.host).encode())
    return connection


FEW_DESCRIPTORS = ("sh", "-c", 'ulimit -Sn 64; ulimit -Hn 256; exec "$@"', "sh")


def test_idle_connections_do_not_take_the_server_down(home: Home) -> None:
    """With 256 descriptors and 400 idle connections the server still answers at once, and its log stays short."""
    with home.serve(*FEW_DESCRIPTORS) as server, contextlib.ExitStack() as held:
        port = int(server.url.rpartition(":")[2])
        for _ in range(400):
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        began = time.monotonic()
        answers = [server.ask("GET", "/api/models").status for _ in range(5)]
        took_s = time.monotonic() - began
        code = server.end()
        log = server.log.read_text()

    assert (answers, code) == ([200] * 5, 0)
    assert took_s < 10
    assert len(log) < 20_000
    assert "Traceback" not in log


def test_who_waits_longest_makes_room(served: Serving) -> None:
    """Above the limit of connections the longest idle one is closed, and the new one is answered."""
    with contextlib.ExitStack() as held:
        idle = [held.enter_context(served.connect()) for _ in range(SOON.connections)]
        assert served.ask("GET", "/healthz").status == 200
        assert idle[0].recv(1) == b""
        idle[-1].sendall(f"GET /healthz HTTP/1.1\r\nHost: {served.host}\r\n\r\n".encode())
        assert idle[-1].recv(100).startswith(b"HTTP/1.1 200")


def test_where_all_are_busy_a_new_one_is_told_to_come_again(served: Serving) -> None:
    """If every connection is busy a new one gets 503 with Retry-After, and the others go on."""
    listen = "GET /api/events HTTP/1.1\r\nHost: {host}\r\n\r\n"
    with contextlib.ExitStack() as held:
        busy = [held.enter_context(begin(served, listen)) for _ in range(SOON.connections)]
        for connection in busy:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        with served.connect() as late:
            reply = parse(read_all(late))
        assert reply is not None
        assert (reply.status, reply.headers["content-type"]) == (503, "application/problem+json")
        assert int(reply.headers["retry-after"]) > 0
        busy[0].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            assert busy[0].recv(1000) != b""


@pytest.mark.parametrize(
    ("begun", "drip", "status"),
    [
        pytest.param("", b"", None, id="nothing"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\n", b"x: y\r\n", 408, id="a head"),
        pytest.param("\r\n", b"\r\n", 408, id="empty lines"),
        pytest.param(
            "POST /api/models HTTP/1.1\r\nHost: {host}\r\nContent-Length: 500\r\n\r\n",
            b" ",
            408,
            id="a body",
        ),
        pytest.param(
            "POST /api/models HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\n \r\n",
            408,
            id="a chunked body",
        ),
    ],
)
def test_what_does_not_come_in_time_is_ended(served: Serving, begun: str, drip: bytes, status: int | None) -> None:
    """A client that sends too slowly is cut off in time, with 408 if it began a request."""
    began = time.monotonic()
    with begin(served, begun) as connection:
        connection.settimeout(0.1)
        received = b""
        while time.monotonic() - began < 20:
            try:
                chunk = connection.recv(1 << 16)
            except TimeoutError:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(drip)
                continue
            except ConnectionError:
                break
            if not chunk:
                break
            received += chunk
        took_s = time.monotonic() - began

    reply = parse(received)
    assert took_s < 10
    assert (reply and reply.status) == status


def test_a_body_without_an_end_is_not_read_for_ever(served: Serving) -> None:
    """An endless chunked body of blanks is answered with 413 after the first megabyte."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = "POST /api/models HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with begin(served, head) as connection, contextlib.suppress(ConnectionError):
        for _ in range(600):
            connection.sendall(chunk)
    with begin(served, head) as connection:
        connection.sendall(chunk * 17)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(("over_bytes", "status"), [(-200, 200), (1, 431)], ids=["within the limit", "above it"])
def test_a_head_has_a_length(served: Serving, over_bytes: int, status: int) -> None:
    """A head above the limit is answered with 431, even if it comes whole."""
    reply = served.ask("GET", "/healthz", headers=["x: " + "y" * (SOON.head_bytes + over_bytes)])

    assert reply.status == status


def test_a_head_has_an_end(served: Serving) -> None:
    """A head without an end is refused, or its connection cut while it still comes."""
    reply = served.send(b"GET / HTTP/1.1\r\nx: " + b"y" * 300_000)

    assert reply is None or reply.status == 431


@pytest.mark.parametrize("path", ["/hf/org/name/resolve/main/huge.gguf", "/openapi.json"])
def test_who_does_not_read_is_cut_off(home: Home, shelf: Shelf, path: str) -> None:
    """An answer that nobody reads ends and frees its connection; one that is read slowly goes on."""
    add_commit(home.primary, "org/name", COMMIT, {"config.json": b"{}"})
    add_sparse(home.primary, "org/name", COMMIT, "huge.gguf", 10**9)
    with serving(shelf, limits=SOON) as server, contextlib.ExitStack() as held:
        request = f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode() * (1 if "hf" in path else 300)
        deaf = held.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(request)
        held.callback(deaf.setsockopt, socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        wait_until(lambda: _is_cut(deaf), "the server to cut it off", 20)
        assert server.ask("GET", "/healthz").status == 200


def _is_cut(connection: socket.socket) -> bool:
    """Return whether the other side closed a connection; reads nothing from it."""
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in (7, 8)  # TCP_CLOSE, TCP_CLOSE_WAIT in linux/tcp_states.h


def test_of_many_listeners_three_hundred_are_told(shelf: Shelf) -> None:
    """Of many listeners three hundred get events, and the others get 503 until one leaves."""
    listen = "GET /api/events HTTP/1.1\r\nHost: {host}\r\n\r\n"
    with serving(shelf, limits=Limits(connections=700)) as server:
        with contextlib.ExitStack() as held:
            asked = [held.enter_context(begin(server, listen)) for _ in range(350)]
            answers = [connection.recv(12) for connection in asked]
            assert server.ask("GET", "/api/jobs").status == 200
        wait_until(lambda: _answer(server, listen) == b"HTTP/1.1 200", "those who left to make room")

    assert answers.count(b"HTTP/1.1 200") == 300
    assert answers.count(b"HTTP/1.1 503") == 50
    assert server.said == []


def _answer(server: Serving, request: str) -> bytes:
    """Return the beginning of a request's answer."""
    with begin(server, request) as connection:
        return connection.recv(12)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: signal.Signals(n).name)
def test_a_signal_ends_it_whatever_hangs(hub: FakeHub, home: Home, number: signal.Signals) -> None:
    """SIGTERM ends a server despite listeners, downloads, half requests and a running job, which is resumed later."""
    hub.add_repo("org/name", {"model.safetensors": random_bytes(20 * MIB)})
    add_commit(home.primary, "org/other", COMMIT, {"config.json": b"{}"})
    add_sparse(home.primary, "org/other", COMMIT, "huge.gguf", 10**10)
    hub.pause(after_bytes=MIB)
    with home.serve() as server, contextlib.ExitStack() as held:
        port = int(server.url.rpartition(":")[2])
        server.ask("POST", "/api/models", {"model_name": "m", "hf_path": "org/name"})
        hub.wait_for_bytes(MIB)
        for line in ("GET /api/events", "GET /hf/org/other/resolve/main/huge.gguf", "POST /api/models"):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n".encode())
        began = time.monotonic()
        code, took_s = server.end(number), time.monotonic() - began
    hub.resume()

    assert code == 0
    assert took_s < 5
    with home.open() as shelf:
        assert [job.state for job in shelf.services.registry.jobs()] == ["queued"]


HANGS = """if True:
    import os, sys, threading
    import uvicorn
    from modelshelf.server.uvicorn_server import serve
    pipe = sys.argv[1]

    async def app(scope, receive, send):
        import asyncio
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await asyncio.to_thread(open, pipe)
        else:
            await asyncio.to_thread(open, pipe)

    serve(app, host="127.0.0.1", port=0, log_level="critical", announce=lambda url: print(url, flush=True))
"""


def test_a_read_that_never_returns_does_not_hold_it(tmp_path: Path) -> None:
    """Threads that hang for ever, in a request or in the shutdown, don't keep the server from ending in time."""
    os.mkfifo(tmp_path / "pipe")
    child = subprocess.Popen([sys.executable, "-c", HANGS, str(tmp_path / "pipe")], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    port = int(child.stdout.readline().strip().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        code = child.wait(timeout=30)
        took_s = time.monotonic() - began
    child.stdout.close()

    assert code == 0
    assert took_s < 5


def test_uvicorn_has_what_the_limits_touch() -> None:
    """uvicorn still reports heads, bodies and answers through the methods that our limits override."""
    protocol, cycle = httptools_impl.HttpToolsProtocol, httptools_impl.RequestResponseCycle

    for name in ("on_message_begin", "on_headers_complete", "on_message_complete", "on_response_complete"):
        assert list(inspect.signature(getattr(protocol, name)).parameters) == ["self"]
    assert "on_response=self.on_response_complete" in inspect.getsource(protocol.on_headers_complete)
    assert list(inspect.signature(protocol.send_400_response).parameters) == ["self", "msg"]
    for name in ("pipeline", "cycle", "transport", "server_state", "connections"):
        assert f"self.{name}" in inspect.getsource(protocol.__init__)
    assert "message_event" in inspect.getsource(cycle.receive)
    assert issubclass(GuardedProtocol, ZeroCopyProtocol)


def test_a_file_without_a_digest_holds_nobody(home: Home, shelf: Shelf) -> None:
    """Hashing a large file without a known digest gives 503 with Retry-After, and other requests are answered."""
    snapshot = add_commit(home.primary, "org/name", COMMIT, {"config.json": b"{}"})
    with (snapshot / "loose.bin").open("wb") as file:
        file.truncate(2 * 10**9)
    with (snapshot / "huge.bin").open("wb") as file:
        file.truncate(10**12)
    with serving(shelf) as server:
        waits = [server.ask("HEAD", "/hf/org/name/resolve/main/loose.bin") for _ in range(3)]
        other = server.ask("GET", "/hf/org/name/resolve/main/config.json")
        huge = server.ask("HEAD", "/hf/org/name/resolve/main/huge.bin")

    assert {(reply.status, int(reply.headers["retry-after"]) > 0) for reply in waits} == {(503, True)}
    assert (other.status, other.body) == (200, b"{}")
    assert huge.status == 404


def test_a_disk_that_hangs_takes_a_few_threads_only(home: Home, tmp_path: Path) -> None:
    """While the secondary's disk hangs, requests for it beyond a few get an error that names the base."""
    with share(tmp_path / "disk", "attr_timeout=0", "entry_timeout=0") as mounted:
        home.extra["SECONDARY_CACHE_PATH"] = str(mounted.path / "base")
        home.run("tiers").checked()
        with home.open() as shelf:
            shelf.services.tiers.open(shelf.services.tiers.configured()[1])
        with home.serve() as server, ThreadPoolExecutor(60) as clients:
            os.kill(mounted.pid, signal.SIGSTOP)
            try:
                asked = [clients.submit(server.ask, "GET", "/api/cache") for _ in range(60)]
                answers = [done.result() for done in itertools.islice(as_completed(asked, timeout=25), 52)]
            finally:
                os.kill(mounted.pid, signal.SIGCONT)
            assert {answer.status for answer in answers} == {200}
            assert all("does not answer" in answer.json[1]["detail"] for answer in answers)
            wait_until(lambda: server.get("/api/cache")[1]["online"], "the disk to count as back")
