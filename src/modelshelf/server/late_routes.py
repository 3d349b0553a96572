"""Routes that are imported and made by the first request that they may be for: an idle server does without them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import cast

from starlette.routing import BaseRoute, Match, Router
from starlette.types import Receive, Scope, Send


@contextmanager
def without_pydantic_v1() -> Iterator[None]:
    """Let routes be made without pydantic.v1, which takes 1.5 MB.

    FastAPI imports it for each parameter, to refuse models of that kind, and takes an ImportError for "there are none".
    """
    name, modules = "pydantic.v1", cast("dict[str, ModuleType | None]", sys.modules)
    is_loaded = name in modules
    modules.setdefault(name, None)
    try:
        yield
    finally:
        if not is_loaded:
            modules.pop(name, None)


class LateRoutes(BaseRoute):
    """A router that is made when a request comes that no route before it takes.

    Args:
        make: Returns the router; called once, in the event loop.
        prefix: How the paths begin that it may be asked for.
    """

    def __init__(self, make: Callable[[], Router], prefix: str = "/") -> None:
        self._make = make
        self._prefix = prefix

    @cached_property
    def router(self) -> Router:
        """The router."""
        with without_pydantic_v1():
            return self._make()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether it has a route for a request."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or not path.startswith(self._prefix):
            return Match.NONE, {}
        found = [route.matches(scope)[0] for route in self.router.routes]
        return max(found, key=lambda match: match.value), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.router(scope, receive, send)
