"""A route of another protocol: nothing is parsed or checked on the way in, and errors have the protocol's shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.errors import ShelfError
from modelshelf.server.answers import Json
from modelshelf.server.errors import problem
from modelshelf.server.gateway.asked import Asked
from modelshelf.server.gateway.client import Shape
from modelshelf.server.gateway.entry import KEY_NAME
from modelshelf.server.gateway.errors import headers_of, shape_of
from modelshelf.server.gateway.relay import Door, Relay


class PlainRoute(APIRoute):
    """A route whose endpoint is handed the request as it is and returns the response."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; errors have the shape of its path."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        try:
            answer: ASGIApp = await self.endpoint(Request(scope, receive, send))
        except ShelfError as err:
            shape = shape_of(scope["path"])
            answer = Json(shape(err), err.status, headers_of(err)) if shape else problem(err)
        await answer(scope, receive, send)


class StraightWay:
    """ASGI middleware that answers requests to models past what other routes need: a router, handlers of exceptions.

    Args:
        app: The application.
        routes: Routes; the plain ones that take POST are those of models.
    """

    def __init__(self, app: ASGIApp, *, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        plain = [route for route in routes if isinstance(route, PlainRoute)]
        self._models = {route.path: route for route in plain if "POST" in (route.methods or ())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        route = self._models.get(scope["path"]) if scope.get("method") == "POST" else None
        await (route.handle if route is not None else self._app)(scope, receive, send)


def relaying(
    door: Door, endpoint: Endpoint, parse: Callable[[bytes], Asked], shape: Callable[[Asked], Shape]
) -> Callable[[Request], Awaitable[Any]]:
    """Return what answers a route by asking an engine.

    Args:
        door: What carries requests to engines.
        endpoint: What the engine is asked for.
        parse: Makes the request to the engine of a body; raises BadInput where it can't.
        shape: Makes the answer's form, with the model's name as it was asked.
    """

    async def relay(request: Request) -> Relay:
        asked = await door.parsed(request, endpoint, parse)
        return Relay(door, asked, endpoint, shape(asked), who_asks(request))

    return relay


def who_asks(request: Request) -> str:
    """Return who makes a request, for a fair share: the name of its key; empty where the server asks for none."""
    return str(request.scope.get("state", {}).get(KEY_NAME, ""))
