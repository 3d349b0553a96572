"""A route of another protocol: nothing is parsed or checked on the way in, and errors have the protocol's shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from modelshelf.domain.serving import Endpoint
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

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint, with errors in the shape of its path."""
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            try:
                answer: Response = await endpoint(request)
            except ShelfError as err:
                shape = shape_of(request.scope["path"])
                return Json(shape(err), err.status, headers_of(err)) if shape else problem(err)
            return answer

        return handle


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
