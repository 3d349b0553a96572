"""`/api/cache` and `/api/jobs`: what the tiers hold, and the long work on them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from fastapi.responses import JSONResponse

from modelshelf.domain.jobs import Job
from modelshelf.server.schemas import Collect, DedupePlanOut, Deduplicate, GcPlanOut, JobOut, TierOut
from modelshelf.services.shelf import Shelf
from modelshelf.services.views import dedupe_plan_view, gc_plan_view, job_view, tier_view

MayCollect = Annotated[Collect, Body(default_factory=Collect)]
MayDeduplicate = Annotated[Deduplicate, Body(default_factory=Deduplicate)]


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api", tags=["cache"])

    @router.get("/cache", response_model=list[TierOut])
    def tiers(rescan: bool = False) -> list[dict[str, Any]]:
        """Show each tier: its limit, what it holds, and the free space of its disk."""
        return [tier_view(status) for status in shelf.tiers(rescan=rescan)]

    @router.post("/cache/gc", status_code=202, response_model=JobOut, responses={200: {"model": list[GcPlanOut]}})
    def gc(wanted: MayCollect, response: Response) -> Any:
        """Delete what nothing references; with `dry_run` show it."""
        if wanted.dry_run:
            plans = shelf.collector.plan(wanted.tier, quarantine=wanted.quarantine)
            return JSONResponse([gc_plan_view(*plan) for plan in plans])
        return _accepted(shelf.collector.enqueue(wanted.tier, quarantine=wanted.quarantine), response)

    @router.post(
        "/cache/dedupe", status_code=202, response_model=JobOut, responses={200: {"model": list[DedupePlanOut]}}
    )
    def dedupe(wanted: MayDeduplicate, response: Response) -> Any:
        """Let identical blobs of a tier share their bytes; with `dry_run` show which."""
        if wanted.dry_run:
            return JSONResponse([dedupe_plan_view(*plan) for plan in shelf.deduper.plan(wanted.tier)])
        return _accepted(shelf.deduper.enqueue(wanted.tier), response)

    @router.get("/jobs", response_model=list[JobOut])
    def jobs() -> list[dict[str, Any]]:
        """List long work, newest first."""
        return [job_view(job) for job in shelf.registry.jobs()]

    @router.get("/jobs/{job_id}", response_model=JobOut)
    def job(job_id: int) -> dict[str, Any]:
        """Show one job."""
        return job_view(shelf.registry.job(job_id))

    @router.post("/jobs/{job_id}/cancel", response_model=JobOut)
    def cancel(job_id: int) -> dict[str, Any]:
        """End a job; what arrived stays for the next try."""
        return job_view(shelf.job_service.cancel(job_id))

    return router


def _accepted(job: Job, response: Response) -> dict[str, Any]:
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return job_view(job)
