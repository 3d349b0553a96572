"""Answers in HTML: templates that escape everything, and the headers that let a browser do nothing else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse

from modelshelf.server.web import assets, words
from modelshelf.server.web.frame import Frame
from modelshelf.units import many

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).with_name("templates")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
}
"""No inline script or style, and nothing from elsewhere. With `no-referrer` forms would have no Origin."""


class _Page(HTMLResponse):
    def render(self, content: str) -> bytes:
        """Return the body; a lone surrogate in a name becomes a question mark."""
        return content.encode(errors="replace")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["words"] = words
    made.globals["many"] = many
    made.filters["size"] = words.size
    made.filters["seconds"] = words.seconds
    return made


def page(template: str, frame: Frame, status: int = 200, **model: object) -> HTMLResponse:
    """Return a page.

    Args:
        template: The template's file.
        frame: What stands around it.
        status: The HTTP status.
        model: What the template shows.
    """
    html = _environment().get_template(template).render(frame=frame, assets=assets.prefix(), **model)
    return _Page(html, status, HEADERS)


def part(template: str, **model: object) -> HTMLResponse:
    """Return a part of a page, for a script that puts it into one.

    Args:
        template: The template's file.
        model: What the template shows.
    """
    return _Page(_environment().get_template(template).render(**model), 200, HEADERS)


def theme_of(request: Request) -> str:
    """Return the theme that a browser chose; empty: as its system has it."""
    theme = request.cookies.get("theme", "")
    return theme if theme in ("light", "dark") else ""
