"""Verifying over HTTP: one model, or everything."""

from __future__ import annotations

from fastapi import APIRouter

from modelshelf.server.answers import Json, accepted
from modelshelf.server.api.requests import JobOut, Name, NewVerification
from modelshelf.server.openapi import CHANGING, problems
from modelshelf.services.shelf import Shelf


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api", responses=problems(*CHANGING))

    def start(model_names: list[str], wanted: NewVerification | None) -> Json:
        options = wanted or NewVerification()
        return accepted(shelf.verifier.enqueue(model_names, **options.model_dump()))

    @router.post("/models/{model_name}/verify", status_code=202, response_model=JobOut, tags=["models"])
    def verify_model(model_name: Name, wanted: NewVerification | None = None) -> Json:
        """Read every byte of a model; what is wrong is the job's result."""
        return start([model_name], wanted)

    @router.post("/cache/verify", status_code=202, response_model=JobOut, tags=["cache"])
    def verify_everything(wanted: NewVerification | None = None) -> Json:
        """Read every byte on every tier, registered or not."""
        return start([], wanted)

    return router
