"""The static files of the pages, and the API to try out, with nothing loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from modelshelf.server.web import assets

_STATIC = Path(__file__).with_name("static")
_OWN_FILES_ALONE = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
"""The page loads nothing from elsewhere and runs no inline script; Swagger UI sets styles by itself."""


def install(app: FastAPI) -> None:
    """Add the pages to an application."""
    app.mount(assets.prefix(), assets.application(), name="page")
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        """Return the page that shows the API."""
        return FileResponse(_STATIC / "docs.html", headers={"Content-Security-Policy": _OWN_FILES_ALONE})
