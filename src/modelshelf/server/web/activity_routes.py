"""The jobs, and what a person does with them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from modelshelf.domain.jobs import CANCELLED, DONE, FAILED
from modelshelf.server.api.jobs import After, JobId
from modelshelf.server.web import render
from modelshelf.server.web.activity import HISTORY, MOST_DECISIONS, activity_page
from modelshelf.server.web.site import Fields, Site, form, see

_Verb = Literal["pause", "resume", "cancel", "retry", "first", "last"]
_TWINS = (("Terminal", "shelf jobs --json"), ("HTTP", "GET /api/jobs"), ("Events", "GET /api/events"))


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""

    @router.get("/activity")
    def activity(request: Request, after: After = None) -> Response:
        """Show the jobs; of those that are over a page, the newest or those before one."""
        look, registry = site.look(), site.shelf.services.registry
        newest = (registry.jobs(model_id=row.id, limit=1) for row in look.failed[:MOST_DECISIONS])
        failures = {job.model_id: job for jobs in newest for job in jobs if job.model_id}
        past = registry.jobs(state=(DONE, FAILED, CANCELLED), after=after, limit=HISTORY)
        frame = site.frame(request, "activity", look, _TWINS)
        page = activity_page(look, failures, past, site.courses())
        return render.page("activity.html", frame, page=page, is_earlier=after is not None)

    @router.post("/jobs/{job_id}/{verb}")
    def steer(job_id: JobId, verb: _Verb, sent: Annotated[Fields, Depends(form)]) -> Response:
        """Pause, resume, cancel or retry a job, or change its place in the queue."""
        way = site.shelf.services.steering
        getattr(way, verb)(job_id)
        return see("/activity")
