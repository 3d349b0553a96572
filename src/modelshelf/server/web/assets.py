"""The files that a browser loads for the page, each below a name that changes with them, so that it keeps them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

_FOLDER = Path(__file__).with_name("static")
_FOR_EVER = "public, max-age=31536000, immutable"


@cache
def _version() -> str:
    """Return what changes when one of the files does: an installed one has another time of change."""
    files = sorted(path for path in _FOLDER.rglob("*") if path.suffix in (".css", ".js", ".svg"))
    seen = [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:12]


def prefix() -> str:
    """Return the path below which the files are."""
    return f"/static/page/{_version()}"


class _KeptFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code < 400:
            response.headers["Cache-Control"] = _FOR_EVER
        return response


def application() -> ASGIApp:
    """Return the application that sends the files, compressed where the browser takes that."""
    return GZipMiddleware(_KeptFiles(directory=_FOLDER), minimum_size=1000)
