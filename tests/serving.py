"""A server in a thread of the test: the real application on a real port, with limits that a test can wait for."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelshelf.server.app import create_app
from modelshelf.server.connections import Limits
from modelshelf.server.gateway.ports import Engines
from modelshelf.server.uvicorn_server import create_server, listen
from modelshelf.services.shelf import Shelf

LOGGERS = ("uvicorn.error", "modelshelf", "asyncio")


@dataclass(frozen=True)
class Reply:
    """An answer as received."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def parse(raw: bytes) -> Reply | None:
    """Return the answer at the beginning of some bytes, or None if nothing came."""
    if not raw:
        return None
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), {name.lower(): value for name, value in headers.items()}, body)


class Said(logging.Handler):
    """Keeps the server's log lines from WARNING on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(self.format(record))


@dataclass
class Serving:
    """A server that runs in a thread."""

    port: int
    said: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Its Host header."""
        return f"127.0.0.1:{self.port}"

    def connect(self, timeout_s: float = 20) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def send(self, request: bytes) -> Reply | None:
        """Send bytes, and return everything until the server closes; None if it closes without a byte."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # the server may have stopped reading
                connection.sendall(request)
            return parse(read_all(connection))

    def ask(self, method: str, path: str, body: bytes = b"", headers: Sequence[str] = ()) -> Reply:
        """Make one request on its own connection, without normalising it."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", "Connection: close", *headers]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        reply = self.send("\r\n".join([*lines, "", ""]).encode() + body)
        assert reply is not None
        return reply


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the other side closes."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(1 << 16):
            received += chunk
    return bytes(received)


@contextlib.contextmanager
def serving(
    shelf: Shelf,
    *,
    limits: Limits | None = None,
    api_key: str | None = None,
    roots: Sequence[str] | None = None,
    engines: Engines | None = None,
    preload: Sequence[str] = (),
) -> Iterator[Serving]:
    """Serve a library."""
    watcher, said = shelf.services.watcher(), Said()
    app = create_app(
        shelf,
        host="127.0.0.1",
        api_key=api_key,
        custom_roots=roots,
        watcher=watcher,
        engines=engines,
        preload=preload,
    )
    server = create_server(app, log_level="warning", limits=limits)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(said)
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield Serving(port, said.lines)
        finally:
            watcher.close()
            server.should_exit = True
            thread.join(timeout=30)
            for name in LOGGERS:
                logging.getLogger(name).removeHandler(said)
    assert not thread.is_alive()
