"""The client of one request: what it was sent so far, and whether it is still connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from starlette.types import Receive, Send

from modelshelf.errors import ShelfError
from modelshelf.server.gateway.errors import headers_of

_FIRST_WORD_S = 1.0
"""How long a client that streams waits before it is told what for, in seconds."""
_NEXT_WORD_S = 5.0
_LOOK_AFTER_S = 0.02
"""How long after its request a client isn't watched, in seconds: most short answers are over by then."""


class Shape(Protocol):
    """The form of one answer: what an engine says in OpenAI's protocol, as the client's protocol says it."""

    stream_type: str
    """The content type of a stream."""

    def whole(self, body: bytes) -> bytes:
        """Return an answer that came whole."""

    def part(self, chunk: bytes) -> bytes:
        """Return a part of a stream, or nothing yet."""

    def end(self) -> bytes:
        """Return what is left to send when the stream is over."""

    def waiting(self, text: str) -> bytes:
        """Return what tells a waiting client the progress."""

    def failed(self, err: ShelfError) -> bytes:
        """Return what ends a stream that failed."""

    def error(self, err: ShelfError) -> bytes:
        """Return the body of an error."""


class Client:
    """The client that gets the answer.

    Args:
        send: ASGI's.
        shape: The form of the answer.
    """

    def __init__(self, send: Send, shape: Shape) -> None:
        self._send = send
        self._shape = shape
        self._begun = False

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an answer at once, whose body is in the client's form."""
        await self._begin(status, {"content-type": "application/json", **headers, "content-length": f"{len(body)}"})
        await self._send({"type": "http.response.body", "body": body})

    async def begin_stream(self) -> None:
        """Begin to stream, unless that was done."""
        if not self._begun:
            await self._begin(200, {"content-type": self._shape.stream_type, "cache-control": "no-cache"})

    async def part(self, chunk: bytes) -> None:
        """Send a part of a stream; returns when there is room for the next one."""
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, last: bytes) -> None:
        """End a stream."""
        await self._send({"type": "http.response.body", "body": last})

    async def fail(self, err: ShelfError) -> None:
        """Say what is wrong: as the answer, or in the stream that was begun."""
        if self._begun:
            await self.end(self._shape.failed(err))
        else:
            await self.whole(err.status, self._shape.error(err), headers_of(err))

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._begun = True
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    @contextlib.contextmanager
    def told(self, what: Callable[[], str]) -> Iterator[None]:
        """While the block runs, tell a client that streams what it waits for: after a second, then every five.

        Args:
            what: Says it in a few words.
        """
        telling: list[asyncio.Task[None]] = []
        begin = asyncio.get_running_loop().call_later(
            _FIRST_WORD_S, lambda: telling.append(asyncio.create_task(self._tell(what)))
        )
        try:
            yield
        finally:
            begin.cancel()
            for task in telling:
                task.cancel()

    async def _tell(self, what: Callable[[], str]) -> None:
        await self.begin_stream()
        while True:
            await self.part(self._shape.waiting(what()))
            await asyncio.sleep(_NEXT_WORD_S)


class WhileThere:
    """A context that is cancelled when the client disconnects; nothing is raised then.

    A short answer doesn't pay for a task that watches the client.

    Args:
        receive: ASGI's.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._work = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._has_left = False

    def __enter__(self) -> None:
        """Begin to watch, in a moment."""
        self._begin = asyncio.get_running_loop().call_later(_LOOK_AFTER_S, self._start)

    def __exit__(self, kind: object, err: BaseException | None, traceback: object) -> bool:
        """Watch no longer; take the cancellation that the client's leaving was."""
        self._begin.cancel()
        if self._watching is not None:
            self._watching.cancel()
        is_ours = isinstance(err, asyncio.CancelledError) and self._has_left
        return is_ours and not (self._work is not None and self._work.uncancel())

    def _start(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        if self._work is not None:
            self._work.cancel()
