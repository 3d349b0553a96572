"""Verifying over HTTP: one model, or everything."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from modelshelf.server.schemas import JobOut, NewVerification
from modelshelf.services.shelf import Shelf
from modelshelf.services.views import job_view


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api")

    def start(model_names: list[str], wanted: NewVerification | None, response: Response) -> dict[str, Any]:
        options = wanted or NewVerification()
        job = shelf.verifier.enqueue(model_names, **options.model_dump())
        response.headers["Location"] = f"/api/jobs/{job.id}"
        return job_view(job)

    @router.post("/models/{model_name}/verify", status_code=202, response_model=JobOut, tags=["models"])
    def verify_model(model_name: str, response: Response, wanted: NewVerification | None = None) -> dict[str, Any]:
        """Read every byte of a model; what is wrong is the job's result."""
        return start([model_name], wanted, response)

    @router.post("/cache/verify", status_code=202, response_model=JobOut, tags=["cache"])
    def verify_everything(response: Response, wanted: NewVerification | None = None) -> dict[str, Any]:
        """Read every byte on every tier, registered or not."""
        return start([], wanted, response)

    return router
