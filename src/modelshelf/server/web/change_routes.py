"""What is done with models: each plan or question by GET, and its execution by POST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from modelshelf.domain.models import ModelRow, State
from modelshelf.domain.tiers import PRIMARY, SECONDARY
from modelshelf.errors import BadInput, Conflict, ShelfError
from modelshelf.server.loads import load_by_hand
from modelshelf.server.web import plans, render, words
from modelshelf.server.web.plans import Moving, Removing
from modelshelf.server.web.sheet import Sheet
from modelshelf.server.web.site import Fields, Site, form, see
from modelshelf.services.lifecycle.removal_look import RemovalLook
from modelshelf.services.space.tiers import destination
from modelshelf.store.gc import open_files

Names = Annotated[list[str], Query(alias="model", max_length=1000)]
Sent = Annotated[Fields, Depends(form)]


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""
    _add_move(router, site)
    _add_remove(router, site)
    _add_update(router, site)
    _add_simple(router, site)
    _add_engines(router, site)


def _rows(site: Site, names: Sequence[str]) -> list[ModelRow]:
    if not names:
        raise BadInput("No model was chosen.", hint="Select one first.")
    return [site.shelf.services.library.row(name) for name in dict.fromkeys(names)]


def _show(
    site: Site, request: Request, sheet: Sheet, status: int = 200, tabs: Sequence[tuple[str, str, bool]] = ()
) -> Response:
    frame = site.frame(request, "models", site.look(), title=sheet.title)
    return render.page("sheet.html", frame, status, sheet=sheet, stale="", tabs=tabs)


def _add_move(router: APIRouter, site: Site) -> None:
    @router.get("/move")
    def show_move(request: Request, model: Names, to: str = "") -> Response:
        """Show what a move would do."""
        rows = _rows(site, model)
        to = to or (SECONDARY if rows[0].cache_location == PRIMARY else PRIMARY)
        return _show(site, request, _move_sheet(site, rows, to), tabs=_tabs(site, rows, to))

    @router.post("/move")
    def move(sent: Sent) -> Response:
        """Move models."""
        location, path = destination(words.tier_key(site.tier(sent.one("to"))))
        for row in _rows(site, sent.all("model")):
            site.shelf.services.mover.enqueue(row.model_name, location, path, keep_source=False)
        return see("/activity")


def _move_sheet(site: Site, rows: list[ModelRow], to: str) -> Sheet:
    tier = site.tier(to)
    location, path = destination(words.tier_key(tier))
    moving = []
    for row in rows:
        try:
            plan = site.shelf.services.mover.plan(row.model_name, location, path, keep_source=False)
            moving.append(Moving(row, plan))
        except ShelfError as err:
            moving.append(Moving(row, err))
    return plans.move_sheet(site.look(measure=True), to, words.tier_said(tier.location, tier.base), moving)


def _tabs(site: Site, rows: list[ModelRow], to: str) -> list[tuple[str, str, bool]]:
    """Return the tiers to choose from: name, address, and whether it is the chosen one."""
    models = [("model", row.model_name) for row in rows]
    found = []
    for tier in site.shelf.services.tiers.all():
        key = words.tier_key(tier)
        address = f"/move?{urlencode([('to', key), *models])}"
        found.append((words.tier_name(tier.location, tier.base), address, key == to))
    return found


def _add_remove(router: APIRouter, site: Site) -> None:
    @router.get("/remove")
    def show_remove(request: Request, model: Names) -> Response:
        """Ask what is removed."""
        return _show(site, request, plans.remove_sheet(_removing(site, _leaving(site, model))))

    @router.post("/remove")
    def remove(request: Request, sent: Sent) -> Response:
        """Forget models, and delete their files if that was chosen."""
        rows, delete = _leaving(site, sent.all("model")), sent.one("files") == "delete"
        removing = _removing(site, rows)
        sheet = plans.remove_sheet(removing)
        if delete and any(one.why_not or one.why_not_files for one in removing):
            trouble = "The files can't be deleted any more; nothing was removed."
            return _show(site, request, plans.remove_sheet(removing, trouble), 409)
        if delete and sheet.typed and sent.one("typed") != sheet.typed:
            trouble = f"Type {sheet.typed} to delete the files; nothing was removed."
            return _show(site, request, plans.remove_sheet(removing, trouble), 422)
        _remove_all(site, rows, delete=delete)
        return see("/models")


def _remove_all(site: Site, rows: list[ModelRow], *, delete: bool) -> None:
    """Remove models; an error names those that are gone by then."""
    gone: list[str] = []
    for row in rows:
        try:
            site.shelf.remove(row.model_name, delete_files=delete)
        except ShelfError as err:
            if not gone:
                raise
            detail = f"Removed {', '.join(gone)}, then {row.model_name} stayed: {err.detail}"
            raise Conflict(detail, hint=err.hint) from err
        gone.append(row.model_name)


def _leaving(site: Site, names: Sequence[str]) -> list[ModelRow]:
    """Return models in the order in which they can be removed."""
    return site.shelf.services.remover.rows(row.model_name for row in _rows(site, names))


def _removing(site: Site, rows: list[ModelRow]) -> list[Removing]:
    look, gone = site.shelf.services.remover.look(open_files.opened()), list[int]()
    leaving, found = {row.id for row in rows}, list[Removing]()
    for row in rows:
        found.append(_removal(site, row, look, gone, is_only_copy=_is_only_copy(site, row, leaving)))
        gone.append(row.id)
    return found


def _is_only_copy(site: Site, row: ModelRow, leaving: set[int]) -> bool:
    """Return whether one of a model's files is in no model that stays and can be loaded now."""
    library = site.shelf.services.library
    alike = [one for one in site.shelf.services.registry.models(repo_id=row.hf_path) if one.id not in leaving]
    kept = [model.row for model in library.at(alike) if model.state in (State.READY, State.MOVING)]
    held = {file.digest for one in kept for file in library.files(one)}
    return not held.issuperset(file.digest for file in library.files(row))


def _removal(site: Site, row: ModelRow, look: RemovalLook, gone: Sequence[int], *, is_only_copy: bool) -> Removing:
    """Return what removing a model means after those that are gone by then."""
    try:
        look.check(row, delete_files=False)
    except ShelfError as err:
        return Removing(row, 0, "", f"{err.detail} {err.hint}".strip(), "", is_only_copy=is_only_copy)
    try:
        look.check(row, delete_files=True, gone=gone)
        plan = look.plan(row, gone)
        remover = site.shelf.services.remover
        lost = [f"{folder} will no longer have it." for folder in remover.folders_with(row)]
        kept = " ".join(filter(None, (remover.why_kept(row, plan, gone), *lost)))
        return Removing(row, plan.free_bytes, kept, "", "", is_only_copy=is_only_copy)
    except ShelfError as err:
        return Removing(row, 0, "", "", f"{err.detail} {err.hint}".strip(), is_only_copy=is_only_copy)


def _add_update(router: APIRouter, site: Site) -> None:
    @router.get("/update")
    def show_update(request: Request, model: str) -> Response:
        """Show what an update would bring; the hub is asked."""
        (row,) = _rows(site, [model])
        return _show(site, request, plans.update_sheet(row, site.shelf.services.updater.plan(model, keep_old=False)))

    @router.post("/update")
    def update(sent: Sent) -> Response:
        """Update a model."""
        updater = site.shelf.services.updater
        updater.enqueue(updater.plan(sent.one("model"), keep_old=False))
        return see("/activity")


def _add_simple(router: APIRouter, site: Site) -> None:
    @router.get("/pin")
    def show_pin(request: Request, model: Names) -> Response:
        """Ask before several models are pinned."""
        return _show(site, request, plans.simple_sheet("pin", _rows(site, model)))

    @router.post("/pin")
    def pin(request: Request, sent: Sent) -> Response:
        """Pin or unpin models."""
        for row in _rows(site, sent.all("model")):
            shelf, name = site.shelf, row.model_name
            shelf.pin(name, sent.one("reason")) if sent.one("pinned") else shelf.unpin(name)
        return see(site.back(request, "/models"))

    @router.get("/verify")
    def show_verify(request: Request, model: Names) -> Response:
        """Ask before several models are read."""
        return _show(site, request, plans.simple_sheet("verify", _rows(site, model)))

    @router.post("/verify")
    def verify(sent: Sent) -> Response:
        """Read every byte of models."""
        names = [row.model_name for row in _rows(site, sent.all("model"))]
        site.shelf.services.verifier.enqueue(names, max_age_s=None, rate_bytes_per_s=None, repair=False)
        return see("/activity")

    @router.post("/pull")
    def pull(sent: Sent) -> Response:
        """Download what a model lacks."""
        for row in _rows(site, sent.all("model")):
            site.shelf.services.registrar.enqueue_pull(row.model_name)
        return see("/activity")


def _add_engines(router: APIRouter, site: Site) -> None:
    @router.post("/load")
    async def load(sent: Sent) -> Response:
        """Load a model; how far it is, is seen there."""
        (row,) = await to_thread.run_sync(_rows, site, [sent.one("model")])
        await load_by_hand(site.shelf.services.load_jobs, site.engines, row.model_name)
        return see("/running")

    @router.post("/unload")
    async def unload(sent: Sent) -> Response:
        """Unload a model."""
        (row,) = await to_thread.run_sync(_rows, site, [sent.one("model")])
        await site.engines.unload(row.model_name)
        return see("/running")
