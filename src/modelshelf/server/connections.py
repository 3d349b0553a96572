"""Limits for connections: how many, how long a head or a body may take, how slowly a client may read.

One check a second judges all of them, instead of a timer for each. Idle ones are closed first if there are too many.
"""

from __future__ import annotations

import json
import resource
import socket
import struct
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from uvicorn.server import ServerState

from modelshelf.server.hub.sendfile import ZeroCopyProtocol

if TYPE_CHECKING:
    import asyncio

_MOST_CONNECTIONS = 1000
_OTHER_FILES = 64
"""Descriptors for the registry, the disks and the jobs."""
_MOST_DESCRIPTORS = 65536
_AT_ONCE = struct.pack("ii", 1, 0)
_TCP_INFO_BYTES, _TCP_BYTES_ACKED_AT = 192, 120
"""Source: linux/tcp.h, `struct tcp_info`, `tcpi_bytes_acked`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server."""

    connections: int = _MOST_CONNECTIONS
    head_s: float = 10
    """Seconds for a request's head after the connection or its first byte; also how long a connection may be idle."""
    head_bytes: int = 64 << 10
    body_s: float = 30
    """How long after its head a request's body may take, in seconds."""
    stall_s: float = 60
    stall_bytes: int = 64 << 10
    """A client that takes fewer bytes of an answer within `stall_s` is cut off."""

    @staticmethod
    def of_this_process() -> Limits:
        """Return the limits for this process's descriptors: an answer may need a file beside its connection."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Limits(connections=max(8, min(_MOST_CONNECTIONS, (soft - _OTHER_FILES) // 2)))


def raise_descriptors() -> None:
    """Raise this process's limit of open files to its maximum."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class State(ServerState):
    """The shared state of a server's connections.

    Args:
        limits: The server's limits.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.waiting: dict[GuardedProtocol, None] = {}
        """Idle connections, the longest idle one first."""

    def sweep(self) -> None:
        """End the connections that take too long."""
        now = time.monotonic()
        for connection in list(self.connections):
            cast("GuardedProtocol", connection).end_if_overdue(now)


class GuardedProtocol(ZeroCopyProtocol):
    """One connection within the limits of its server.

    **Source:** what this relies on in uvicorn is a test in `tests/integration/server/test_server_floods.py`.
    """

    _head_since: float | None = None
    """Since when a head is waited for; None while a request is being answered."""
    _head_bytes = 0
    _body_since: float | None = None
    """Since when a body is waited for."""
    _taken: tuple[float, int] | None = None
    """When the client last took enough of the waiting bytes, and how much it had taken by then."""

    @property
    def _state(self) -> State:
        return cast("State", self.server_state)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; if there are too many connections, close another idle one, or else this one."""
        super().connection_made(transport)
        if len(self.connections) > self._state.limits.connections:
            if not self._state.waiting:
                self._refuse(503, "The server has too many connections.", ("Retry-After", "5"))
                return
            next(iter(self._state.waiting))._end()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._state.waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head gets too long."""
        if self._head_since is not None:
            if not self._head_bytes:
                self._head_since = time.monotonic()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > self._state.limits.head_bytes and not self.transport.is_closing():
            self._refuse(431, "The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Wait for the rest of a head, which may come while an answer goes out."""
        if self._head_since is None:
            self._head_since = time.monotonic()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Answer a request, unless its head is too long."""
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._state.limits.head_bytes:
            self._refuse(431, "The head of the request is too long.")
            raise ValueError("The head is too long.")  # the parser stops, and says so to `send_400_response`
        self._state.waiting.pop(self, None)
        self._head_since, self._head_bytes, self._body_since = None, 0, time.monotonic()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop waiting for a body."""
        self._body_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, if it isn't here already."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP, unless the request was refused already."""
        if not self.transport.is_closing():
            self._refuse(400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a request to upgrade to another protocol is answered as a normal one."""

    def end_if_overdue(self, now: float) -> None:
        """End the connection if its client exceeds the limits.

        Args:
            now: The monotonic time in seconds.
        """
        limits = self._state.limits
        if self._is_stalled(now, limits):
            # Drop what the kernel still holds for this client too, or it would wait for a window to open.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._cut()
        elif self._body_since is not None and now - self._body_since > limits.body_s:
            self._refuse(408, "The body of the request did not come in time.")
        elif self._head_since is not None and now - self._head_since > limits.head_s:
            if self._head_bytes:
                self._refuse(408, "The head of the request did not come in time.")
            else:
                self._end()

    def _is_stalled(self, now: float, limits: Limits) -> bool:
        """Return whether bytes wait to be sent and the client takes next to none of them."""
        if not (self.is_sending_file or self.transport.get_write_buffer_size()):
            self._taken = None
            return False
        taken = _bytes_taken(self.transport.get_extra_info("socket"))
        if self._taken is None or taken - self._taken[1] >= limits.stall_bytes:
            self._taken = (now, taken)
        return now - self._taken[0] > limits.stall_s

    def _wait(self) -> None:
        self._head_since, self._head_bytes = time.monotonic(), 0
        self._state.waiting.pop(self, None)
        self._state.waiting[self] = None

    def _end(self) -> None:
        self._state.waiting.pop(self, None)
        self.transport.close()

    def _refuse(self, status: int, detail: str, *headers: tuple[str, str]) -> None:
        """End the connection, with a problem document if no other answer was begun."""
        self._state.waiting.pop(self, None)
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started or self.pipeline:
                self._cut()
                return
            self.cycle.disconnected = True  # tell the application that nobody waits for its answer
            self.cycle.message_event.set()
        phrase = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": phrase, "status": status, "detail": detail}).encode()
        usual = [(name.decode(), value.decode()) for name, value in self._state.default_headers]
        own = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", f"{len(body)}"),
            ("Connection", "close"),
        ]
        lines = [f"{name}: {value}" for name, value in [*usual, *own, *headers]]
        head = "\r\n".join([f"HTTP/1.1 {status} {phrase}", *lines, "", ""])
        self.transport.write(head.encode() + body)
        self.transport.close()


def _bytes_taken(sock: Any) -> int:
    """Return how many bytes the client's side of a TCP connection has confirmed."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    return int(struct.unpack_from("=Q", info, _TCP_BYTES_ACKED_AT)[0])
