"""`/api/status`: what is in force."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from modelshelf.server.answers import Json
from modelshelf.server.api.requests import StatusOut
from modelshelf.services.setup.status import Status


def create_router(open_status: Callable[[], Status]) -> APIRouter:
    """Return the route over a status that is asked anew each time: settings may have changed."""
    router = APIRouter(prefix="/api", tags=["health"])

    @router.get("/status", response_model=StatusOut)
    def status() -> Json:
        """Say which settings, registry and library are in force, which servers run, and who holds what."""
        with open_status() as found:
            return Json(found.view())

    return router
