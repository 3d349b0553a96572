"""Proxies on loopback: an HTTP one (plain and CONNECT, with or without a password), and a SOCKS5 one."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import socketserver
import struct
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_MAX_HEAD_BYTES = 65536


class Proxy:
    """A proxy that listens inside `with`.

    Args:
        password: `user:password` that it requires; None: nothing.
        socks: Whether it speaks SOCKS5 instead of HTTP.
        hangs_up: Whether it closes a connection at its second request.
    """

    def __init__(self, password: str | None = None, *, socks: bool = False, hangs_up: bool = False) -> None:
        self.password = password
        self.hangs_up = hangs_up
        self.asked: list[str] = []
        """Its requests: `GET http://…`, `CONNECT host:port` or `SOCKS host:port`."""
        self.secrets: set[str] = set()
        """Every Authorization header that it could read."""
        self._server = _Server(("127.0.0.1", 0), _SocksHandler if socks else _HttpHandler)
        self._server.proxy = self

    def __enter__(self) -> Self:
        """Start to listen."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    proxy: Proxy


class _HttpHandler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Answer one request and close."""
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD_BYTES:
            line = self.rfile.readline()
            if not line:
                return
            head += line
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        proxy = self.server.proxy
        proxy.asked.append(f"{method} {target}")
        if "authorization" in headers:
            proxy.secrets.add(headers["authorization"])
        if proxy.password is not None:
            wanted = f"Basic {base64.b64encode(proxy.password.encode()).decode()}"
            if headers.get("proxy-authorization") != wanted:
                answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n"
                self.wfile.write(f"{answer}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as upstream:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _relay(self.connection, upstream)
            return
        self._forward(method, target, lines)
        if proxy.hangs_up:
            self.connection.recv(1)

    def _forward(self, method: str, target: str, lines: list[str]) -> None:
        url = urlsplit(target)
        kept = [line for line in lines if line and not line.lower().startswith(("proxy-", "connection:"))]
        with socket.create_connection((url.hostname or "", url.port or 80), timeout=10) as upstream:
            path = url.path + (f"?{url.query}" if url.query else "")
            upstream.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode())
            with contextlib.suppress(OSError):  # the next request on this connection isn't the upstream's to read
                while data := upstream.recv(65536):
                    self.connection.sendall(data)


class _SocksHandler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Answer one request of RFC 1928, with the user and password of RFC 1929 if required."""
        _, count = self._read(2)
        self._read(count)
        wanted = self.server.proxy.password
        self.request.sendall(b"\x05" + (b"\x00" if wanted is None else b"\x02"))
        if wanted is not None:
            self._read(1)
            user = self._read(self._read(1)[0]).decode()
            password = self._read(self._read(1)[0]).decode()
            is_right = f"{user}:{password}" == wanted
            self.request.sendall(b"\x01" + (b"\x00" if is_right else b"\x01"))
            if not is_right:
                return
        kind = self._read(4)[3]
        host = socket.inet_ntoa(self._read(4)) if kind == 1 else self._read(self._read(1)[0]).decode()
        (port,) = struct.unpack("!H", self._read(2))
        self.server.proxy.asked.append(f"SOCKS {host}:{port}")
        with socket.create_connection((host, port), timeout=10) as upstream:
            self.request.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            _relay(self.request, upstream)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.request.recv(count - len(data))
            if not piece:
                raise ConnectionAbortedError
            data += piece
        return data


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Forward bytes in both directions until either side ends."""
    with contextlib.suppress(OSError):
        while True:
            for ready in select.select([one, other], [], [], 30)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                (other if ready is one else one).sendall(data)
