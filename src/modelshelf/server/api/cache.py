"""`/api/cache` and `/api/jobs`: what the tiers hold, and the long work on them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path

from modelshelf.schemas.views import dedupe_plan_view, gc_plan_view, job_view, tier_view
from modelshelf.server.answers import Json, accepted
from modelshelf.server.api.requests import Collect, DedupePlanOut, Deduplicate, GcPlanOut, JobOut, TierOut
from modelshelf.server.openapi import CHANGING, LOOKING, problems
from modelshelf.services.shelf import Shelf

MayCollect = Annotated[Collect, Body(default_factory=Collect)]
JobId = Annotated[int, Path(ge=1, le=2**63 - 1)]
MayDeduplicate = Annotated[Deduplicate, Body(default_factory=Deduplicate)]


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api", tags=["cache"])
    _add_tiers(router, shelf)
    _add_jobs(router, shelf)
    return router


def _add_tiers(router: APIRouter, shelf: Shelf) -> None:
    changing = problems(*CHANGING)

    @router.get("/cache", response_model=list[TierOut], responses=problems(*LOOKING))
    def tiers(rescan: bool = False) -> Json:
        """Show each tier: its limit, what it holds, and the free space of its disk."""
        return Json([tier_view(status) for status in shelf.tiers(rescan=rescan)])

    @router.post(
        "/cache/gc", status_code=202, response_model=JobOut, responses={200: {"model": list[GcPlanOut]}, **changing}
    )
    def gc(wanted: MayCollect) -> Json:
        """Delete what nothing references; with `dry_run` show it."""
        if wanted.dry_run:
            plans = shelf.collector.plan(wanted.tier, quarantine=wanted.quarantine)
            return Json([gc_plan_view(*plan) for plan in plans])
        return accepted(shelf.collector.enqueue(wanted.tier, quarantine=wanted.quarantine))

    @router.post(
        "/cache/dedupe",
        status_code=202,
        response_model=JobOut,
        responses={200: {"model": list[DedupePlanOut]}, **changing},
    )
    def dedupe(wanted: MayDeduplicate) -> Json:
        """Let identical blobs of a tier share their bytes; with `dry_run` show which."""
        if wanted.dry_run:
            return Json([dedupe_plan_view(*plan) for plan in shelf.deduper.plan(wanted.tier)])
        return accepted(shelf.deduper.enqueue(wanted.tier))


def _add_jobs(router: APIRouter, shelf: Shelf) -> None:
    @router.get("/jobs", response_model=list[JobOut])
    def jobs() -> Json:
        """List long work, newest first."""
        return Json([job_view(job) for job in shelf.job_service.all()])

    @router.get("/jobs/{job_id}", response_model=JobOut, responses=problems(*LOOKING))
    def job(job_id: JobId) -> Json:
        """Show one job."""
        return Json(job_view(shelf.registry.job(job_id)))

    @router.post("/jobs/{job_id}/cancel", response_model=JobOut, responses=problems(*CHANGING))
    def cancel(job_id: JobId) -> Json:
        """End a job; what arrived stays for the next try."""
        return Json(job_view(shelf.job_service.cancel(job_id)))
