"""What other programs see of the library: their views, and adding, syncing and removing one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from modelshelf.domain.names import ModelName, ViewRoot
from modelshelf.domain.view_kinds import ViewKind, kind_of
from modelshelf.domain.views import ViewStatus
from modelshelf.errors import NotFound, ShelfError
from modelshelf.server.web import render
from modelshelf.server.web.sheet import Sheet
from modelshelf.server.web.site import Fields, Site, form, see
from modelshelf.server.web.tools_page import add_sheet, choices, remove_sheet, view_row
from modelshelf.services.views.place import view_root

_Kind = Annotated[str, Query(max_length=40)]
_Root = Annotated[str, Query(max_length=4096)]
_Model = Annotated[str, Query(max_length=200)]
_Sent = Annotated[Fields, Depends(form)]
_MOST = 500


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""
    _add_tools(router, site)
    _add_new(router, site)
    _add_removal(router, site)


def _add_tools(router: APIRouter, site: Site) -> None:
    @router.get("/tools")
    def tools(request: Request) -> Response:
        """Show what other programs see of the library."""
        with site.around.open_status() as found:
            hub = found.read().hugging_face_tools
        look = site.look()
        views = [view_row(status) for status in site.shelf.services.views.all()]
        names = [row.model_name for row in look.models if row.complete][:_MOST]
        twins = (("Terminal", "shelf view ls --json"), ("HTTP", "GET /api/views"))
        frame = site.frame(request, "tools", look, twins)
        return render.page("tools.html", frame, views=views, hub=hub, choices=choices(), names=names)

    @router.post("/views/sync")
    def sync(sent: _Sent) -> Response:
        """Make all views true."""
        site.shelf.services.view_syncer.sync()
        return see("/tools")


def _add_new(router: APIRouter, site: Site) -> None:
    @router.get("/views/add")
    def show_new(request: Request, kind: _Kind, root: _Root = "", model: _Model = "") -> Response:
        """Show what a new view would hold, and what its program can't read."""
        wanted = kind_of(kind)
        try:
            place = _place(site, wanted, root)
            plan: ViewStatus | ShelfError = site.shelf.services.views.plan(*place, _names(model))
        except ShelfError as err:
            plan = err
        return _show(site, request, add_sheet(wanted, root.strip(), model, plan))

    @router.post("/views/add")
    def add_view(sent: _Sent) -> Response:
        """Make a view, or add models to one."""
        kind, root = _place(site, kind_of(sent.one("kind")), sent.one("root"))
        site.shelf.services.views.add(kind, root, _names(sent.one("model")))
        return see("/tools")


def _place(site: Site, kind: ViewKind, folder: str) -> tuple[ViewKind, ViewRoot]:
    """Return kind and folder, which a request may name."""
    root = view_root(kind, folder.strip())
    site.door.check_view(root)
    return kind, root


def _names(model: str) -> list[ModelName] | None:
    return [ModelName(model)] if model else None


def _add_removal(router: APIRouter, site: Site) -> None:
    @router.get("/views/remove")
    def ask_removal(request: Request, kind: _Kind, root: _Root) -> Response:
        """Ask whether a view is removed."""
        return _show(site, request, remove_sheet(_found(site, kind_of(kind), root)))

    @router.post("/views/remove")
    def remove(sent: _Sent) -> Response:
        """Remove a view, and what we made in its folder."""
        view = _found(site, kind_of(sent.one("kind")), sent.one("root")).view
        site.shelf.services.views.remove(view.kind, view.root)
        return see("/tools")


def _found(site: Site, kind: ViewKind, root: str) -> ViewStatus:
    for status in site.shelf.services.views.all():
        if (status.view.kind, str(status.view.root)) == (kind, root):
            return status
    raise NotFound(f"There is no view {kind} {root:.200}.", hint="shelf view ls lists them.")


def _show(site: Site, request: Request, sheet: Sheet) -> Response:
    frame = site.frame(request, "tools", site.look(), title=sheet.title)
    return render.page("sheet.html", frame, sheet=sheet, stale="", tabs=())
