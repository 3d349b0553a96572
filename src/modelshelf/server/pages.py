"""The pages at the server's address: where things are, and the API to try out, with nothing loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from modelshelf import __version__
from modelshelf.schemas.status import IndexJson
from modelshelf.server.answers import Json
from modelshelf.server.openapi import answers

_STATIC = Path(__file__).with_name("static")
_OWN_FILES_ALONE = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
"""The page loads nothing from elsewhere and runs no inline script; Swagger UI sets styles by itself."""


def install(app: FastAPI) -> None:
    """Add the pages to an application."""
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", tags=["health"], responses=answers(IndexJson, "Where things are."))
    def index(request: Request) -> Response:
        """Say what this is and where things are.

        A browser is sent to `/docs`.
        """
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/docs")
        return Json(IndexJson(version=__version__))

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        """Return the page that shows the API."""
        return FileResponse(_STATIC / "docs.html", headers={"Content-Security-Policy": _OWN_FILES_ALONE})
