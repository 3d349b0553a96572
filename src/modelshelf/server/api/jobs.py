"""`/api/jobs`: long work, whoever asked for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from modelshelf.schemas.jobs import JobJson
from modelshelf.server.answers import Json
from modelshelf.server.bodies import no_body
from modelshelf.server.openapi import CHANGING, LOOKING, answers, problems
from modelshelf.services.shelf import Shelf

JobId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The job's number.")]


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api/jobs", tags=["jobs"])

    @router.get("", responses=answers(list[JobJson], "The jobs."))
    def jobs() -> Json:
        """List the jobs of all processes, newest first."""
        return Json([JobJson.of(job) for job in shelf.jobs()])

    @router.get("/{job_id}", responses=answers(JobJson, "The job.") | problems(*LOOKING))
    def job(job_id: JobId) -> Json:
        """Show a job."""
        return Json(JobJson.of(shelf.job(job_id)))

    cancelled = answers(JobJson, "The job as it is now.") | problems(*CHANGING)

    @router.post("/{job_id}/cancel", dependencies=[Depends(no_body)], responses=cancelled)
    def cancel(job_id: JobId) -> Json:
        """Cancel a job.

        Bytes that it downloaded or copied are kept for the next try.
        """
        return Json(JobJson.of(shelf.cancel(job_id)))

    return router
