"""Connections that cost something are bounded: how many, how long a head or a body may take, how slowly one may read.

One look a second judges all of them, instead of a timer for each. Who only waits goes first when there are too many.
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
    """What one server bears."""

    connections: int = _MOST_CONNECTIONS
    head_s: float = 10
    """A request's head is here so many seconds after the connection or its first byte, and a connection waits no longer
    without one."""
    head_bytes: int = 64 << 10
    body_s: float = 30
    """A request's body is here so many seconds after its head."""
    stall_s: float = 60
    stall_bytes: int = 64 << 10
    """Who does not take so many bytes of an answer within `stall_s` is cut off."""

    @staticmethod
    def of_this_process() -> Limits:
        """Return the limits that this process's descriptors allow: an answer may need a file beside its connection."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Limits(connections=max(8, min(_MOST_CONNECTIONS, (soft - _OTHER_FILES) // 2)))


def raise_descriptors() -> None:
    """Let this process open as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class State(ServerState):
    """What the connections of a server share.

    Args:
        limits: What the server bears.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.waiting: dict[GuardedProtocol, None] = {}
        """Connections without a request, the one that waits longest first."""

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
    """Since when a head is waited for; None while one is here whose request is not answered."""
    _head_bytes = 0
    _body_since: float | None = None
    """Since when a body is waited for."""
    _taken: tuple[float, int] | None = None
    """When the client last took enough of what waits to be sent, and how much it had taken by then."""

    @property
    def _state(self) -> State:
        return cast("State", self.server_state)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; where there are too many connections, another one that only waits goes, else this one."""
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
        """Read on, unless the head becomes too long."""
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
        """Wait for no body any more."""
        self._body_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, if it is not here already."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Refuse what isn't HTTP, unless the request is refused already."""
        if not self.transport.is_closing():
            self._refuse(400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a request that would rather speak another protocol is answered in this one."""

    def end_if_overdue(self, now: float) -> None:
        """End the connection when its client takes longer than the limits allow.

        Args:
            now: The monotonic time in seconds.
        """
        limits = self._state.limits
        if self._is_stalled(now, limits):
            # What the kernel still holds for this client goes too; else it would wait on for a window to open.
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
        """Return whether something waits to be sent and the client takes next to nothing of it."""
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
        """End the connection, with a problem document where no other answer was begun."""
        self._state.waiting.pop(self, None)
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started or self.pipeline:
                self._cut()
                return
            self.cycle.disconnected = True  # the application is told that nobody waits for its answer
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
