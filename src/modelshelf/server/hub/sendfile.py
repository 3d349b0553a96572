"""Zero-copy answers: the ASGI extension `http.response.zerocopysend` for uvicorn, and the response that uses it.

The kernel moves a file's pages to the socket; no byte passes through Python. uvicorn leaves the extension to its
protocol classes and implements none, so `ZeroCopyProtocol` adds it around uvicorn's own request cycle.

**Source:** https://asgi.readthedocs.io/en/latest/extensions.html#zero-copy-send. What this relies on in uvicorn
0.54 is written down as tests in `tests/integration/mirror/test_hub_face.py`: a uvicorn that changes it fails there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable
    from uvicorn._types import Scope as UvicornScope
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_LOG = logging.getLogger(__name__)

ZERO_COPY = "http.response.zerocopysend"
GRACE_S = 2.0
"""How long an answer may go on after the server was asked to stop, in seconds."""
WINDOW_BYTES = 4 << 20
"""The most bytes of one sendfile call. A call returns when the socket is full: without the limit a fast reader of a
file on a slow disk would hold the event loop, and everybody's answers, until the disk has read the whole file.
"""
_CHUNK_BYTES = 1 << 20
_MOST_COPIED_BYTES = 1 << 16
"""The longest body that is copied behind its head."""


class ZeroCopyProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with zero-copy send, and with an end to answers that outlast the server's grace."""

    _sender: _FileSender | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # The one place through which every request passes, pipelined ones included, with its cycle in hand. The cycle
        # cannot be subclassed instead: uvicorn names its class in the middle of `on_headers_complete`.
        if cycle.scope["scheme"] == "http":  # TLS must see the bytes
            app = self._with_zero_copy(app, cycle)
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Let the answer in progress go on for `GRACE_S`, then cut it."""
        super().shutdown()
        if not self.transport.is_closing():
            self.loop.call_later(GRACE_S, self._cut)

    @property
    def is_sending_file(self) -> bool:
        """Whether the kernel is sending a file."""
        return self._sender is not None and self._sender.is_busy

    def _with_zero_copy(self, app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
        """Return the application with a `send` that knows the extension."""

        async def wrapped(scope: UvicornScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            self._sender = sender = _FileSender(cycle, self.loop, receive, send)
            extensions = cast("dict[str, Any]", scope).setdefault("extensions", {})
            extensions[ZERO_COPY] = {}
            await app(scope, cast("ASGIReceiveCallable", sender.receive), cast("ASGISendCallable", sender.send))

        return cast("ASGI3Application", wrapped)

    def _cut(self) -> None:
        if not self.is_sending_file:
            self.transport.abort()
            return
        # Not transport.abort(): during a sendfile that closes the socket under the selector, and the call never
        # returns. A socket that is shut down makes sendfile, write and read fail the way a client that left does.
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


class _FileSender:
    """The extension for one request."""

    def __init__(
        self,
        cycle: RequestResponseCycle,
        loop: asyncio.AbstractEventLoop,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        self._cycle = cycle
        self._loop = loop
        self._receive = receive
        self._send = send
        self._idle = asyncio.Event()
        self._idle.set()
        self._head: Message | None = None
        """The head of an answer whose body comes at once."""

    @property
    def is_busy(self) -> bool:
        """Whether a part of a file is being sent."""
        return not self._idle.is_set()

    async def receive(self) -> Any:
        # uvicorn's receive() may switch reading on again. During a sendfile asyncio must not read: an end of file
        # would close the socket under the selector, and the sendfile would never return.
        await self._idle.wait()
        return await self._receive()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and b"content-length" in dict(message["headers"]):
            self._head = message
            return
        if self._head is not None:
            head, self._head = self._head, None
            if _is_whole(message) and self._cycle.scope["method"] != "HEAD":
                await self._send_together(head, message)
                return
            await self._send(cast("Any", head))
        if message["type"] != ZERO_COPY:
            await self._send(cast("Any", message))
            return
        cycle = self._cycle
        if cycle.disconnected:
            return  # like uvicorn's own send
        if not cycle.response_started or cycle.response_complete or cycle.chunked_encoding:
            raise RuntimeError(f"{ZERO_COPY} needs a response that was started with a Content-Length.")
        file, offset, count = message["file"], message.get("offset"), message.get("count")
        offset = file.tell() if offset is None else offset
        count = os.fstat(file.fileno()).st_size - offset if count is None else count
        if count > 0 and cycle.scope["method"] != "HEAD":
            if count > cycle.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            # uvicorn counts down what it writes and refuses to finish a response that is too short.
            cycle.expected_content_length -= await self._transfer(file, offset, count)
        if not message.get("more_body", False):
            # An empty body lets uvicorn do what ends a response: accounting, keep-alive, the next pipelined request.
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_together(self, head: Message, body: Message) -> None:
        """Let uvicorn send a head and a body as ever, but in one packet: the second one costs as much as the first."""
        transport = self._cycle.transport
        self._cycle.transport = cast("asyncio.Transport", _OneWrite(transport))
        try:
            await self._send(cast("Any", head))
            await self._send(cast("Any", body))
        finally:
            self._cycle.transport = transport

    async def _transfer(self, file: BinaryIO, offset: int, count: int) -> int:
        """Send a part of a file; return how many bytes, fewer if the file ends or the client leaves."""
        sent, transport = 0, self._cycle.transport
        self._idle.clear()
        try:
            while sent < count and not transport.is_closing():
                step = min(count - sent, WINDOW_BYTES)
                # Wait for the write buffer (the headers) and then for the socket: this is the back-pressure.
                done = await self._loop.sendfile(transport, file, offset + sent, step, fallback=True)
                if done == 0:
                    return sent  # the file became shorter: uvicorn finds the response too short and closes
                sent += done
        except (ConnectionError, TimeoutError):
            transport.abort()
        except OSError as err:
            _LOG.error("file_unreadable", extra={"file": file.name, "reason": str(err)})
            transport.abort()
        finally:
            self._idle.set()
        if transport.is_closing():
            self._cycle.disconnected = True  # asyncio reports it one round later; until then uvicorn would complain
        return sent


def _is_whole(message: Message) -> bool:
    """Return whether a message is a body that is complete, and short enough to be copied."""
    return (
        message["type"] == "http.response.body"
        and not message.get("more_body", False)
        and 0 < len(message.get("body", b"")) <= _MOST_COPIED_BYTES
    )


class _OneWrite:
    """A connection that keeps what is written first until the second write."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._first = b""

    def write(self, data: bytes) -> None:
        """Keep the head, or send it with the body."""
        if not self._first:
            self._first = data
        else:
            self._transport.write(self._first + data)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class FileSlice(Response):
    """A part of an open file as the body; closes the file however the response ends.

    Zero-copy if the server offers it, else in chunks read by a thread.

    Args:
        file: The file, opened unbuffered for reading.
        offset: Where the part begins, in bytes.
        count: Its length in bytes; the Content-Length.
        status_code: 200, or 206 for a part.
        headers: The response's headers.
    """

    def __init__(
        self, file: BinaryIO, offset: int, count: int, *, status_code: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(status_code=status_code, headers={**headers, "Content-Length": str(count)})
        self._file = file
        self._offset = offset
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if is_zero_copy(scope):
                await send_part(self._file, self._offset, self._count, send)
                return
            # Some servers drop what is sent to a client that left: without this check a thread would read it all.
            gone = asyncio.create_task(until_disconnect(receive))
            try:
                await send_chunks(self._file, self._offset, self._count, gone, send)
            finally:
                gone.cancel()


def is_zero_copy(scope: Scope) -> bool:
    """Return whether the server moves a file's bytes to the socket by itself."""
    return ZERO_COPY in scope.get("extensions", {})


async def send_part(file: BinaryIO, offset: int, count: int, send: Send) -> None:
    """End a response with a part of a file, through a server that is `is_zero_copy`."""
    if count:
        await send({"type": ZERO_COPY, "file": file, "offset": offset, "count": count, "more_body": False})
    else:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_chunks(file: BinaryIO, offset: int, count: int, gone: asyncio.Future[None], send: Send) -> None:
    """End a response with a part of a file, read by a thread, until the client is gone."""
    at, end = offset, offset + count
    while at < end and not gone.done():
        chunk = await asyncio.to_thread(os.pread, file.fileno(), min(_CHUNK_BYTES, end - at), at)
        if not chunk:
            return  # shorter than promised: the server closes the connection
        at += len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    if at == end:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_disconnect(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
