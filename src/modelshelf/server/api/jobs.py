"""`/api/jobs`: long work, whoever asked for it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query

from modelshelf.domain.jobs import JobKind, JobState
from modelshelf.schemas.jobs import JobDetailJson, JobJson
from modelshelf.server.answers import Json
from modelshelf.server.bodies import no_body
from modelshelf.server.openapi import CHANGING, LOOKING, NEXT, answers, problems
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.steering import Steering
from modelshelf.services.shelf import Shelf

JobId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The job's number.")]
Limit = Annotated[int | None, Query(ge=1, le=1000, description="At most so many.")]
After = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="The number of the last one of the page before.")]
States = Annotated[list[JobState] | None, Query(description="Only those in this state, or in one of these.")]
Kind = Annotated[JobKind | None, Query(description="Only those that do this.")]
_LISTED = answers(list[JobJson], "The jobs.")
_LISTED[200]["headers"] = NEXT


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api/jobs", tags=["jobs"])
    _add_looking(router, shelf, shelf.services.runner)
    _add_steering(router, shelf.services.steering, shelf.services.runner)
    return router


def _add_looking(router: APIRouter, shelf: Shelf, runner: JobRunner) -> None:
    @router.get("", responses=_LISTED | problems(422))
    def jobs(limit: Limit = None, after: After = None, state: States = None, kind: Kind = None) -> Json:
        """List the jobs of all processes, newest first.

        With `limit` a page of them; its `Link` header leads to the next one.
        """
        found, link = runner.all(kind, state, after=after, limit=limit), {}
        if limit is not None and len(found) == limit:
            asked = {"limit": limit, "after": found[-1].id, "state": state, "kind": kind}
            words = urlencode({name: said for name, said in asked.items() if said is not None}, doseq=True)
            link = {"Link": f'</api/jobs?{words}>; rel="next"'}
        return Json([JobJson.of(job) for job in found], headers=link)

    @router.get("/{job_id}", responses=answers(JobDetailJson, "The job.") | problems(*LOOKING))
    def job(job_id: JobId) -> Json:
        """Show a job, and how far its files are."""
        return Json(JobDetailJson.of(runner.with_wait(shelf.job(job_id))))


def _add_steering(router: APIRouter, steering: Steering, runner: JobRunner) -> None:
    changed = answers(JobJson, "The job as it is now.") | problems(*CHANGING)

    @router.post("/{job_id}/pause", dependencies=[Depends(no_body)], responses=changed)
    def pause(job_id: JobId) -> Json:
        """Pause a job until it is resumed, through restarts too.

        The process that runs it stops within a second; bytes that arrived are kept.
        """
        return Json(JobJson.of(steering.pause(job_id)))

    @router.post("/{job_id}/resume", dependencies=[Depends(no_body)], responses=changed)
    def resume(job_id: JobId) -> Json:
        """Let a paused job go on."""
        return Json(JobJson.of(runner.with_wait(steering.resume(job_id))))

    @router.post("/{job_id}/cancel", dependencies=[Depends(no_body)], responses=changed)
    def cancel(job_id: JobId) -> Json:
        """Cancel a job.

        Bytes that it downloaded or copied are kept for the next try.
        """
        return Json(JobJson.of(steering.cancel(job_id)))

    @router.post("/{job_id}/first", dependencies=[Depends(no_body)], responses=changed)
    def first(job_id: JobId) -> Json:
        """Let a job begin before all others that wait; what runs goes on."""
        return Json(JobJson.of(runner.with_wait(steering.first(job_id))))

    @router.post("/{job_id}/last", dependencies=[Depends(no_body)], responses=changed)
    def last(job_id: JobId) -> Json:
        """Let a job begin after all others that wait."""
        return Json(JobJson.of(runner.with_wait(steering.last(job_id))))

    @router.post("/{job_id}/retry", dependencies=[Depends(no_body)], responses=changed)
    def retry(job_id: JobId) -> Json:
        """Try a job again that failed or was cancelled, or now one that waits."""
        return Json(JobJson.of(runner.with_wait(steering.retry(job_id))))
