"""Keeping over HTTP: update, reconcile and adopt."""

from __future__ import annotations

from fastapi import APIRouter

from modelshelf.domain.adopt import AdoptMode, AdoptRequest
from modelshelf.schemas.adopt import adopt_view
from modelshelf.schemas.views import reconcile_view, update_view
from modelshelf.server.answers import Json, accepted
from modelshelf.server.api.requests import (
    Adopt,
    AdoptPlanOut,
    JobOut,
    Name,
    Reconcile,
    ReconcilePlanOut,
    Update,
    UpdatePlanOut,
)
from modelshelf.server.doors import PathDoor
from modelshelf.server.openapi import CHANGING, problems
from modelshelf.services.adopt.adopt import DEFAULT_PATH, folder_of
from modelshelf.services.shelf import Shelf


def create_router(shelf: Shelf, door: PathDoor) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api", responses=problems(*CHANGING))
    _add_keeping(router, shelf)
    _add_adopting(router, shelf, door)
    return router


def _add_keeping(router: APIRouter, shelf: Shelf) -> None:
    @router.post(
        "/models/{model_name}/update",
        status_code=202,
        response_model=JobOut,
        responses={200: {"model": UpdatePlanOut}},
        tags=["models"],
    )
    def update(model_name: Name, wanted: Update | None = None) -> Json:
        """Take a newer commit of the revision that a model follows; with `dry_run` only say what that would be."""
        wanted = wanted or Update()
        plan = shelf.updater.plan(model_name, keep_old=wanted.keep_old)
        return Json(update_view(plan)) if wanted.dry_run else accepted(shelf.updater.enqueue(plan))

    @router.post(
        "/cache/reconcile",
        status_code=202,
        response_model=JobOut,
        responses={200: {"model": ReconcilePlanOut}},
        tags=["cache"],
    )
    def reconcile(wanted: Reconcile | None = None) -> Json:
        """Bring the registry and the disks together; with `dry_run` only say what that would change."""
        if wanted is not None and wanted.dry_run:
            return Json(reconcile_view(shelf.reconciler.plan()))
        return accepted(shelf.reconciler.enqueue())


def _add_adopting(router: APIRouter, shelf: Shelf, door: PathDoor) -> None:
    @router.post(
        "/cache/adopt",
        status_code=202,
        response_model=JobOut,
        responses={200: {"model": AdoptPlanOut}},
        tags=["cache"],
    )
    def adopt(wanted: Adopt) -> Json:
        """Take in what other tools downloaded; with `dry_run` only say what that would do."""
        path = str(folder_of(DEFAULT_PATH)) if wanted.path is None else wanted.path
        door.check_source(path)
        door.check_target(wanted.to)
        request = AdoptRequest(path, AdoptMode(wanted.mode), wanted.to, wanted.merge, wanted.copies, wanted.repo)
        return (
            Json(adopt_view(shelf.adopter.plan(request)))
            if wanted.dry_run
            else accepted(shelf.adopter.enqueue(request))
        )
