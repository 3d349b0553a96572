"""`/api/doctor`: why something doesn't work."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from modelshelf.schemas.reports import DoctorReportJson
from modelshelf.server.answers import Json
from modelshelf.server.openapi import answers
from modelshelf.services.doctor.doctor import Doctor


def create_router(open_doctor: Callable[[], Doctor]) -> APIRouter:
    """Return the route over a doctor that is created for each request, because settings may have changed."""
    router = APIRouter(prefix="/api", tags=["health"])

    @router.get("/doctor", responses=answers(DoctorReportJson, "What was looked at."))
    def doctor() -> Json:
        """Say why something doesn't work, the worst first.

        Bases, registry, variables, tools, hub and engines are examined; nothing is changed.
        """
        with open_doctor() as found:
            return Json(DoctorReportJson.of(found.examine(), found.where))

    return router
