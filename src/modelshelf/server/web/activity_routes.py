"""The jobs, and what a person does with them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from modelshelf.domain.jobs import CANCELLED, DONE, FAILED
from modelshelf.server.api.jobs import JobId
from modelshelf.server.web import render
from modelshelf.server.web.activity import HISTORY, activity_page
from modelshelf.server.web.site import Fields, Site, form, see

_Verb = Literal["pause", "resume", "cancel", "retry", "first", "last"]
_TWINS = (("Terminal", "shelf jobs --json"), ("HTTP", "GET /api/jobs"), ("Events", "GET /api/events"))


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""

    @router.get("/activity")
    def activity(request: Request) -> Response:
        """Show the jobs."""
        look = site.look()
        past = site.shelf.services.registry.jobs(state=(DONE, FAILED, CANCELLED), limit=HISTORY)
        frame = site.frame(request, "activity", look, _TWINS)
        return render.page("activity.html", frame, page=activity_page(look, past, site.courses()))

    @router.post("/jobs/{job_id}/{verb}")
    def steer(job_id: JobId, verb: _Verb, sent: Annotated[Fields, Depends(form)]) -> Response:
        """Pause, resume, cancel or retry a job, or change its place in the queue."""
        way = site.shelf.services.steering
        getattr(way, verb)(job_id)
        return see("/activity")
