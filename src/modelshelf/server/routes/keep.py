"""Keeping over HTTP: update, reconcile and adopt."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from modelshelf.domain.adopt import Wish
from modelshelf.domain.jobs import Job
from modelshelf.server.schemas import Adopt, JobOut, Reconcile, Update
from modelshelf.services.adopt import AdoptRequest
from modelshelf.services.adopt_view import adopt_view
from modelshelf.services.shelf import Shelf
from modelshelf.services.views import job_view, reconcile_view, update_view


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api")

    @router.post("/models/{model_name}/update", status_code=202, response_model=JobOut, tags=["models"])
    def update(model_name: str, response: Response, wanted: Update | None = None) -> Any:
        """Take a newer commit of the revision that a model follows; with `dry_run` only say what that would be."""
        wanted = wanted or Update()
        plan = shelf.updater.plan(model_name, keep_old=wanted.keep_old)
        if wanted.dry_run:
            return JSONResponse(update_view(plan))
        return _accepted(shelf.updater.enqueue(plan), response)

    @router.post("/cache/reconcile", status_code=202, response_model=JobOut, tags=["cache"])
    def reconcile(response: Response, wanted: Reconcile | None = None) -> Any:
        """Bring the registry and the disks together; with `dry_run` only say what that would change."""
        if wanted is not None and wanted.dry_run:
            return JSONResponse(reconcile_view(shelf.reconciler.plan()))
        return _accepted(shelf.reconciler.enqueue(), response)

    @router.post("/cache/adopt", status_code=202, response_model=JobOut, tags=["cache"])
    def adopt(response: Response, wanted: Adopt) -> Any:
        """Take in what other tools downloaded; with `dry_run` only say what that would do."""
        request = AdoptRequest(wanted.path, Wish(wanted.wish), wanted.to, wanted.merge, wanted.copies, wanted.repo)
        if wanted.dry_run:
            return JSONResponse(adopt_view(shelf.adopter.plan(request)))
        return _accepted(shelf.adopter.enqueue(request), response)

    return router


def _accepted(job: Job, response: Response) -> dict[str, Any]:
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return job_view(job)
