"""The pages: what they need is made by their first request. The API to try out, with nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from fastapi.routing import APIRoute
from starlette.routing import Match, Router
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from modelshelf import __version__
from modelshelf.schemas.status import IndexJson
from modelshelf.server.answers import Json
from modelshelf.server.late_routes import LateRoutes
from modelshelf.server.openapi import answers
from modelshelf.server.web import assets

_STATIC = Path(__file__).with_name("static")
_OWN_FILES_ALONE = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
"""The page loads nothing from elsewhere and runs no inline script; Swagger UI sets styles by itself."""


def install(app: FastAPI, make_pages: Callable[[], Router]) -> None:
    """Add the pages to an application, behind all other routes.

    Args:
        app: The application.
        make_pages: Returns the routes of the pages; called for the first request that no other route takes.
    """
    app.mount(assets.prefix(), assets.application(), name="page")
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        """Return the page that shows the API."""
        return FileResponse(_STATIC / "docs.html", headers={"Content-Security-Policy": _OWN_FILES_ALONE})

    responses = answers(IndexJson, "Where things are.")
    app.router.add_api_route(
        "/", _index, name="index", tags=["health"], responses=responses, route_class_override=_ForPrograms
    )
    app.router.routes.append(LateRoutes(make_pages))


async def _index() -> Json:
    """Say what this is and where things are.

    A browser gets the page of the library.
    """
    return Json(IndexJson(version=__version__))


class _ForPrograms(APIRoute):
    """A route that leaves browsers to the page of the same path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether it answers this request."""
        if scope["type"] == "http" and "text/html" in Request(scope).headers.get("accept", ""):
            return Match.NONE, {}
        return super().matches(scope)
