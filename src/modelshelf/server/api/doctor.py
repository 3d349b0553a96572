"""`/api/doctor`: why something does not work."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from modelshelf.schemas.views import doctor_view
from modelshelf.server.answers import Json
from modelshelf.server.api.requests import DoctorOut
from modelshelf.services.doctor.doctor import Doctor


def create_router(open_doctor: Callable[[], Doctor]) -> APIRouter:
    """Return the route over a doctor that is asked anew each time: settings may have changed."""
    router = APIRouter(prefix="/api", tags=["health"])

    @router.get("/doctor", response_model=DoctorOut)
    def doctor() -> Json:
        """Look over bases, registry, variables, tools, hub and engines; nothing is changed."""
        with open_doctor() as found:
            return Json(doctor_view(found.examine(), found.where))

    return router
