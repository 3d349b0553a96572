"""A webhook's receiver: real HTTP on loopback, which fails on demand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What arrived, and how to answer."""

    url: str = ""
    status: int = 200
    tries: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of the requests that were answered with 200, whose signatures are right."""
    bodies: list[str] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    """The headers of all requests."""

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the objects of one kind of event."""
        return [message["data"] for message in list(self.messages) if message["event"] == event]


@contextmanager
def receiving(secret: str = "") -> Iterator[Receiver]:
    """Run a receiver inside the context.

    Args:
        secret: What it checks signatures with; empty: it checks none.
    """
    got = Receiver()

    class Handler(BaseHTTPRequestHandler):
        """Answers one request."""

        def do_POST(self) -> None:
            """Take one message."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.heads.append({name.lower(): value for name, value in self.headers.items()})
            got.tries += 1
            status = got.status if not secret or self.is_signed(body) else 401
            if status == 200:
                got.bodies.append(body.decode())
                got.messages.append(json.loads(body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def is_signed(self, body: bytes) -> bool:
            """Return whether the signature is right."""
            signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
            digest = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
            return hmac.compare_digest(self.headers["webhook-signature"], f"v1,{digest}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        got.url = f"http://127.0.0.1:{server.server_port}/hook?token=s3cret"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield got
        finally:
            server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
            server.shutdown()
            thread.join()
