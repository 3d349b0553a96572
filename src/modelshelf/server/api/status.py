"""`/api/status`: what is in force."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from modelshelf.schemas.status import StatusJson
from modelshelf.server.answers import Json
from modelshelf.server.openapi import answers
from modelshelf.services.setup.status import Status


def create_router(open_status: Callable[[], Status]) -> APIRouter:
    """Return the route over a status that is asked anew each time: settings may have changed."""
    router = APIRouter(prefix="/api", tags=["health"])

    @router.get("/status", responses=answers(StatusJson, "What is in force."))
    def status() -> Json:
        """Say what is in force.

        That is which settings, registry and libraries, which servers run, and who holds what.
        """
        with open_status() as found:
            return Json(found.read())

    return router
