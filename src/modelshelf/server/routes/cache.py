"""`/api/cache` and `/api/jobs`: what the tiers hold, and the long work on them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from modelshelf.server.schemas import JobOut, TierOut
from modelshelf.services.shelf import Shelf
from modelshelf.services.views import job_view, tier_view


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api", tags=["cache"])

    @router.get("/cache", response_model=list[TierOut])
    def tiers(rescan: bool = False) -> list[dict[str, Any]]:
        """Show each tier: its limit, what it holds, and the free space of its disk."""
        return [tier_view(status) for status in shelf.tiers(rescan=rescan)]

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
