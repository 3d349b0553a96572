"""Bodies of requests are read whole, and bounded, before anything is done with them; none is passed over."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelshelf.errors import BadInput
from modelshelf.server.answers import Json
from modelshelf.server.errors import plain_problem
from modelshelf.server.gateway.errors import OLLAMA_PATHS, BodyTooLong, shape_of

_MOST_BYTES = 1 << 20
_MOST_BYTES_BELOW = {"/hf/": 4 << 20, "/v1/": 64 << 20}
"""Clients of the Hub ask for many paths at once, and conversations contain pictures."""


async def no_body(request: Request) -> None:
    """Do nothing where a request says nothing; for routes that would not hear it.

    Raises:
        BadInput: It has a body.
    """
    if (await request.body()).strip() not in (b"", b"{}"):
        raise BadInput(f"{request.method} {request.url.path} takes no body; nothing was changed.", hint="See /docs.")


class BoundedBodies:
    """ASGI middleware that forwards a request once its body is complete, or answers 413.

    A client that leaves in the middle gets no answer, and leaves no trace.

    Args:
        app: The next application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        path = str(scope["path"])
        below = "/v1/" if path in OLLAMA_PATHS else path[:4]
        most_bytes = _MOST_BYTES_BELOW.get(below, _MOST_BYTES)
        try:
            body = await _read(Headers(scope=scope).get("content-length", ""), receive, most_bytes)
        except _TooLong:
            await _too_long(str(scope["path"]), most_bytes)(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)


class _TooLong(Exception):
    """The body has more bytes than allowed."""


def _too_long(path: str, most_bytes: int) -> Json:
    detail = f"A body has at most {most_bytes} bytes here."
    shape = shape_of(path)
    return Json(shape(BodyTooLong(detail)), BodyTooLong.status) if shape else plain_problem(413, detail)


async def _read(length: str, receive: Receive, most_bytes: int) -> bytes | None:
    """Return the body; None if the client left before its end.

    Raises:
        _TooLong: It is longer than allowed, or says so.
    """
    if length.isdecimal() and int(length[:20]) > most_bytes:
        raise _TooLong
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most_bytes:
            raise _TooLong
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that returns the body, and then the server's messages."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
