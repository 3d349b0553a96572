"""`/api/models`: register, look, change, pull, remove."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from modelshelf.domain.models import Registration
from modelshelf.domain.names import ModelName, RefName, RepoId
from modelshelf.server.schemas import (
    Change,
    JobOut,
    ModelOut,
    ModelWithFiles,
    MoveJobOut,
    NewModel,
    NewModelOut,
    RemovedOut,
)
from modelshelf.services.shelf import Shelf
from modelshelf.services.views import eviction_view, job_view, model_view, removed_view


def create_router(shelf: Shelf) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api/models", tags=["models"])
    _add_reading(router, shelf)
    _add_changing(router, shelf)
    return router


def _add_reading(router: APIRouter, shelf: Shelf) -> None:
    @router.get("", response_model=list[ModelOut])
    def list_models() -> list[dict[str, Any]]:
        """List the models."""
        return [model_view(model) for model in shelf.models()]

    @router.get("/{model_name}", response_model=ModelWithFiles)
    def show(model_name: str) -> dict[str, Any]:
        """Show one model with its files."""
        model = shelf.model(model_name)
        return model_view(model, shelf.library.files(model.row))


def _add_changing(router: APIRouter, shelf: Shelf) -> None:
    @router.post("", status_code=201, response_model=NewModelOut)
    def register(new: NewModel) -> dict[str, Any]:
        """Register a model; its download starts at once unless `download` is false."""
        plan = shelf.registrar.register(_registration(new))
        if new.download:
            shelf.registrar.enqueue_pull(new.model_name)
        return model_view(shelf.model(new.model_name)) | {"makes_room": eviction_view(plan.makes_room)}

    @router.patch("/{model_name}", response_model=ModelOut, responses={202: {"model": MoveJobOut}})
    def change(model_name: str, wanted: Change) -> Any:
        """Rename, pin or unpin a model; with `cache_location` move it, which answers 202 with the job."""
        if wanted.model_name is not None:
            shelf.rename(model_name, wanted.model_name)
            model_name = wanted.model_name
        if wanted.pinned is not None:
            shelf.set_pin(model_name, pinned=wanted.pinned, reason=wanted.pin_reason)
        if wanted.cache_location is None:
            return model_view(shelf.model(model_name))
        to, path = wanted.cache_location, wanted.cache_path
        leaving = eviction_view(shelf.mover.who_leaves(model_name, to, path))
        job = shelf.mover.enqueue(model_name, to, path, keep_source=wanted.keep_source)
        return JSONResponse(job_view(job) | {"makes_room": leaving}, 202, {"Location": f"/api/jobs/{job.id}"})

    @router.delete("/{model_name}", response_model=RemovedOut)
    def remove(model_name: str, delete_files: bool = False) -> dict[str, Any]:
        """Forget a model, and with `delete_files` free what nothing else needs."""
        return removed_view(shelf.remove(model_name, delete_files=delete_files))

    @router.post("/{model_name}/pull", status_code=202, response_model=JobOut)
    def pull(model_name: str, response: Response) -> dict[str, Any]:
        """Download what is missing of a model."""
        job = shelf.registrar.enqueue_pull(model_name)
        response.headers["Location"] = f"/api/jobs/{job.id}"
        return job_view(job)


def _registration(new: NewModel) -> Registration:
    return Registration(
        model_name=ModelName(new.model_name),
        hf_path=RepoId(new.hf_path),
        cache_location=new.cache_location,
        cache_path=new.cache_path,
        revision=RefName(new.revision),
        allow_patterns=tuple(new.allow_patterns),
        pinned=new.pinned,
    )
