"""The table of models, and a model's page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from modelshelf.domain.names import ModelName
from modelshelf.domain.uses import UseFilter
from modelshelf.errors import BadInput
from modelshelf.schemas.models import ModelWithFilesJson
from modelshelf.server.web import render, states
from modelshelf.server.web.charts import DAY_S
from modelshelf.server.web.model_page import USES_DAYS, model_page
from modelshelf.server.web.models_page import AGES, STATES, Wish, models_page
from modelshelf.server.web.readme import card_html
from modelshelf.server.web.site import Site
from modelshelf.services.catalog.adapters import Adapters
from modelshelf.services.catalog.facts import facts_of, readme_of

_TWINS = (("Terminal", "shelf ls --json"), ("HTTP", "GET /api/models"))
_USES = 8
_LINES, _LINE = 40, 400
"""So many lines of a log are shown, and so much of each."""
_Text = Annotated[str, Query(max_length=200)]
_Number = Annotated[int, Query(ge=1, le=10**6)]


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""
    _add_table(router, site)
    _add_model(router, site)


def _wish(
    q: _Text = "",
    tier: Annotated[str, Query(max_length=4096)] = "",
    state: _Text = "",
    used: _Text = "",
    sort: _Text = "used",
    page: _Number = 1,
    pages: _Number = 1,
) -> Wish:
    return Wish(q.strip(), tier, state, used, sort, page, pages)


_Asked = Annotated[Wish, Depends(_wish)]


def _add_table(router: APIRouter, site: Site) -> None:
    @router.get("/models")
    def whole(request: Request, wish: _Asked) -> Response:
        """Show the models."""
        look = site.look()
        shown = models_page(look, wish, site.shelf.services.library.at, site.running())
        frame = site.frame(request, "models", look, _TWINS)
        return render.page("models.html", frame, page=shown, states=STATES, ages=AGES)

    @router.get("/parts/models")
    def table(wish: _Asked) -> Response:
        """Show the table alone, for a page that is there already."""
        shown = models_page(site.look(), wish, site.shelf.services.library.at, site.running())
        return render.part("models_table.html", page=shown)


def _log_of(site: Site, model_name: ModelName) -> str:
    """Return the last lines that the engines of a model wrote; empty without any."""
    try:
        lines = site.around.engine_log(model_name).read().splitlines()
    except (OSError, BadInput):
        return ""
    return "\n".join(line[:_LINE] for line in lines[-_LINES:])


def _add_model(router: APIRouter, site: Site) -> None:
    @router.get("/models/{model_name}")
    def show(request: Request, model_name: str) -> Response:
        """Show a model."""
        shelf, look = site.shelf, site.look()
        model, files = shelf.model(model_name), shelf.files(model_name)
        facts = facts_of(model, files)
        kin = Adapters(shelf.services.library).kin(model.row)
        told = ModelWithFilesJson.with_files(model, files, shelf.services.moves(model), facts, kin)
        engines = {str(status.model_name): status for status in site.running()}
        address = f"{request.url.scheme}://{request.headers.get('host', '')}"
        page = model_page(
            told,
            facts,
            states.shown(model, engines),
            engines.get(model_name),
            shelf.services.registry.uses(UseFilter(model_name, None, None, _USES)),
            address,
            look.now_s,
            model.row.last_used_at,
            shelf.services.registry.uses_by_day(model.row.id, look.now_s - USES_DAYS * DAY_S),
            shelf.services.views.with_model(model.row.model_name, model.row.hf_path),
            asks_key=site.login is not None,
        )
        twins = (("Terminal", f"shelf show {model_name} --json"), ("HTTP", f"GET /api/models/{model_name}"))
        card = card_html(readme_of(model, files))
        frame = site.frame(request, "models", look, twins, title=model_name)
        return render.page("model.html", frame, page=page, card=card, log=_log_of(site, model.row.model_name))

    @router.get("/models/{model_name}/actions")
    def actions(request: Request, model_name: str) -> Response:
        """Show what can be done with a model."""
        look, row = site.look(), site.shelf.services.library.row(model_name)
        loaded = {status.model_name for status in site.running()}
        frame = site.frame(request, "models", look, title=row.model_name)
        return render.page("actions.html", frame, row=row, is_loaded=row.model_name in loaded)
