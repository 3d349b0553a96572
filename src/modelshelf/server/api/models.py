"""`/api/models`: register, look, change, pull, remove."""

from __future__ import annotations

from fastapi import APIRouter

from modelshelf.domain.models import Registration
from modelshelf.domain.names import ModelName, RefName, RepoId
from modelshelf.domain.patterns import patterns_of
from modelshelf.schemas.views import eviction_view, model_view, removed_view
from modelshelf.server.answers import Json, accepted
from modelshelf.server.api.requests import (
    Change,
    JobOut,
    ModelOut,
    ModelWithFiles,
    MoveJobOut,
    Name,
    NewModel,
    NewModelOut,
    RemovedOut,
)
from modelshelf.server.doors import PathDoor
from modelshelf.server.openapi import CHANGING, LOOKING, problems
from modelshelf.services.shelf import Shelf


def create_router(shelf: Shelf, door: PathDoor) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api/models", tags=["models"])
    _add_reading(router, shelf)
    _add_changing(router, shelf, door)
    return router


def _add_reading(router: APIRouter, shelf: Shelf) -> None:
    @router.get("", response_model=list[ModelOut])
    def list_models() -> Json:
        """List the models."""
        return Json([model_view(model) for model in shelf.models()])

    @router.get("/{model_name}", response_model=ModelWithFiles, responses=problems(*LOOKING))
    def show(model_name: Name) -> Json:
        """Show one model with its files."""
        model = shelf.model(model_name)
        return Json(model_view(model, shelf.library.files(model.row)))


def _add_changing(router: APIRouter, shelf: Shelf, door: PathDoor) -> None:
    changing = problems(*CHANGING)

    @router.post("", status_code=201, response_model=NewModelOut, responses=changing)
    def register(new: NewModel) -> Json:
        """Register a model; its download starts at once unless `download` is false; what is here is taken at once."""
        door.check_base(new.cache_location, new.cache_path)
        plan = shelf.registrar.register(_registration(new))
        if new.download or plan.is_here:
            shelf.registrar.enqueue_pull(new.model_name)
        return Json(model_view(shelf.model(new.model_name)) | {"makes_room": eviction_view(plan.makes_room)}, 201)

    @router.patch("/{model_name}", response_model=ModelOut, responses={202: {"model": MoveJobOut}, **changing})
    def change(model_name: Name, wanted: Change) -> Json:
        """Rename, pin or unpin a model; with `cache_location` move it, which answers 202 with the job."""
        if wanted.cache_location is not None:
            door.check_base(wanted.cache_location, wanted.cache_path)
        if wanted.model_name is not None:
            shelf.rename(model_name, wanted.model_name)
            model_name = wanted.model_name
        if wanted.pinned is not None:
            shelf.set_pin(model_name, pinned=wanted.pinned, reason=wanted.pin_reason)
        if wanted.cache_location is None:
            return Json(model_view(shelf.model(model_name)))
        to, path = wanted.cache_location, wanted.cache_path
        leaving = eviction_view(shelf.mover.who_leaves(model_name, to, path))
        job = shelf.mover.enqueue(model_name, to, path, keep_source=wanted.keep_source)
        return accepted(job, {"makes_room": leaving})

    @router.delete("/{model_name}", response_model=RemovedOut, responses=changing)
    def remove(model_name: Name, delete_files: bool = False) -> Json:
        """Forget a model, and with `delete_files` free what nothing else needs."""
        return Json(removed_view(shelf.remove(model_name, delete_files=delete_files)))

    @router.post("/{model_name}/pull", status_code=202, response_model=JobOut, responses=changing)
    def pull(model_name: Name) -> Json:
        """Download what is missing of a model."""
        return accepted(shelf.registrar.enqueue_pull(model_name))


def _registration(new: NewModel) -> Registration:
    return Registration(
        model_name=ModelName(new.model_name),
        hf_path=RepoId(new.hf_path),
        cache_location=new.cache_location,
        cache_path=new.cache_path,
        revision=RefName(new.revision),
        allow_patterns=patterns_of(new.allow_patterns),
        pinned=new.pinned,
    )
