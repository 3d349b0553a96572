"""What is in memory, and a place to talk to it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from modelshelf.schemas.engine_status import EngineStatusJson
from modelshelf.server.web import render
from modelshelf.server.web.look import Look
from modelshelf.server.web.models_page import group_of
from modelshelf.server.web.site import Site

_MOST = 500
"""So many models are offered in a list; the others by their own pages."""


def _talkative(look: Look) -> list[str]:
    """Return the models that can be loaded, the one used last first."""
    there = [row for row in look.models if group_of(look, row) == "here"]
    return [str(row.model_name) for row in sorted(there, key=lambda row: -(row.last_used_at or 0))][:_MOST]


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""

    @router.get("/running")
    def running(request: Request) -> Response:
        """Show the engines."""
        look = site.look()
        tiers = {str(row.model_name): row.cache_location for row in look.models}
        rates = site.rates()
        engines = [
            EngineStatusJson.of(one, tiers.get(one.model_name), rates.get(one.model_name)) for one in site.running()
        ]
        names = _talkative(look)
        twins = (("Terminal", "shelf ps --json"), ("HTTP", "GET /api/engines"))
        return render.page("running.html", site.frame(request, "running", look, twins), engines=engines, names=names)

    @router.get("/playground")
    def playground(request: Request, model: str = "", second: str = "") -> Response:
        """Show the place to talk to a model, or to two side by side."""
        look = site.look()
        names = _talkative(look)
        loaded = [str(one.model_name) for one in site.running()]
        chosen = model if model in names else next((name for name in loaded if name in names), "")
        twins = (("Terminal", f"shelf chat {chosen or 'NAME'}"), ("HTTP", "POST /v1/chat/completions"))
        frame = site.frame(request, "playground", look, twins)
        return render.page("playground.html", frame, names=names, chosen=chosen, second=second)
