"""`/api/status`: what is in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter

from modelshelf.schemas.status import StatusJson
from modelshelf.server.answers import Json
from modelshelf.server.openapi import answers

if TYPE_CHECKING:
    from modelshelf.services.setup.status import Status


def create_router(open_status: Callable[[], Status]) -> APIRouter:
    """Return the route over a status that is created for each request, because settings may have changed."""
    router = APIRouter(prefix="/api", tags=["health"])

    @router.get("/status", responses=answers(StatusJson, "What is in force."))
    def status() -> Json:
        """Say what is in use.

        This is: settings, registry, libraries, running servers, and leases.
        """
        with open_status() as found:
            return Json(found.read())

    return router
