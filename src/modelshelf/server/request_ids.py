"""An id for each request: in its answer, in every line that is logged for it, and in the ledger of uses."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "request_id"
"""Where the state of a request has its id."""
_HEADER = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class _Request:
    """The request that the running task answers."""

    id: str
    is_over: bool = False
    """What it began, such as an engine, goes on without its id."""


_NOW: ContextVar[_Request | None] = ContextVar("request", default=None)


def current_request_id() -> str:
    """Return the id of the request that is answered here; empty outside of one."""
    request = _NOW.get()
    return "" if request is None or request.is_over else request.id


class RequestIds:
    """ASGI application that gives each request an id: the client's `X-Request-Id`, if it is well-formed, or a new one.

    **Concurrency:** the server runs each request in a task of its own, whose context ends with it.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(_id_in(scope))
        _NOW.set(request)
        scope.setdefault("state", {})[REQUEST_ID] = request.id
        raw = request.id.encode()

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (_HEADER, raw)]}
            await send(message)

        await self._app(scope, receive, with_id)
        request.is_over = True  # not after an exception, which the server logs when this has ended


def _id_in(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == _HEADER]
    is_good = len(given) == 1 and _WELL_FORMED.fullmatch(given[0])
    return given[0].decode() if is_good else secrets.token_hex(8)
