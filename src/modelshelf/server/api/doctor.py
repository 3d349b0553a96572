"""`/api/doctor`: why something doesn't work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends

from modelshelf.schemas.reports import DoctorReportJson
from modelshelf.server.answers import Json
from modelshelf.server.bodies import no_body
from modelshelf.server.openapi import CHANGING, answers, problems

if TYPE_CHECKING:
    from modelshelf.services.doctor.doctor import Doctor


def create_router(open_doctor: Callable[[], Doctor], mend_doctor: Callable[[], Doctor]) -> APIRouter:
    """Return the routes over a doctor that is created for each request, because settings may have changed.

    Args:
        open_doctor: Opens one that only looks.
        mend_doctor: Opens one that may mend.
    """
    router = APIRouter(prefix="/api", tags=["health"])

    @router.get("/doctor", responses=answers(DoctorReportJson, "What was looked at."))
    def doctor() -> Json:
        """Say why something doesn't work, the worst first.

        Bases, registry, variables, tools, hub and engines are examined; nothing is changed.
        """
        with open_doctor() as found:
            return Json(DoctorReportJson.of(found.examine(), found.where))

    @router.post("/doctor/fix", dependencies=[Depends(no_body)], responses=_FIXED)
    def fix() -> Json:
        """Fix what is safe to fix, and say what is wrong then.

        No byte of a model is touched.
        """
        with mend_doctor() as found:
            return Json(DoctorReportJson.of(found.fix(), found.where))

    return router


_FIXED = answers(DoctorReportJson, "What was fixed, and what was found then.") | problems(*CHANGING)
