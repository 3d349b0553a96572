"""`/api/models`: register, show, change, pull, update, verify, remove."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Depends, Query

from modelshelf.domain.listing import Listing, Order
from modelshelf.domain.model_names import chosen_name
from modelshelf.domain.models import Registration
from modelshelf.domain.names import RefName, RepoId
from modelshelf.domain.patterns import patterns_of
from modelshelf.schemas.jobs import JobJson, MoveJobJson
from modelshelf.schemas.models import EvictedJson, ModelJson, ModelWithFilesJson, NewModelJson
from modelshelf.schemas.plans import RemovedJson, UpdatePlanJson
from modelshelf.server.answers import Json, accepted
from modelshelf.server.api.requests import Change, ModelInPath, NewModel, NewVerification, Update
from modelshelf.server.bodies import no_body
from modelshelf.server.doors import PathDoor
from modelshelf.server.openapi import ACCEPTED, CHANGING, LOOKING, NEXT, answers, planned, problems
from modelshelf.services.catalog.adapters import Adapters
from modelshelf.services.catalog.facts import facts_of
from modelshelf.services.shelf import Shelf

MayUpdate = Annotated[Update, Body(default_factory=Update)]
MayVerify = Annotated[NewVerification, Body(default_factory=NewVerification)]
Limit = Annotated[int | None, Query(ge=1, le=1000, description="How many at most; all without it.")]
After = Annotated[str, Query(max_length=96, description="The name of the model after which the page begins.")]
Filter = Annotated[str, Query(alias="filter", max_length=200, description="What the name or repository has in it.")]
Sort = Annotated[Order, Query(description="By name, the largest first, or the one used last first.")]
_LISTED = answers(list[ModelJson], "The models.")
_LISTED[200]["headers"] = NEXT
DeleteFiles = Annotated[bool, Query(description="Whether files that nothing else needs are deleted.")]


def create_router(shelf: Shelf, door: PathDoor) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api/models", tags=["models"])
    _add_looking(router, shelf)
    _add_registering(router, shelf, door)
    _add_changing(router, shelf, door)
    _add_long_work(router, shelf)
    return router


def _add_looking(router: APIRouter, shelf: Shelf) -> None:
    @router.get("", responses=_LISTED | problems(*LOOKING))
    def list_models(limit: Limit = None, after: After = "", text: Filter = "", sort: Sort = Order.NAME) -> Json:
        """List the models.

        With `limit` a page of them; its `Link` header leads to the next one.
        """
        if after and sort is not Order.NAME:
            shelf.services.library.row(after)  # the place in another order is known only while the model exists
        found = shelf.services.library.models(Listing(text, sort, after, limit))
        link = {}
        if limit is not None and len(found) == limit:
            asked = {"limit": limit, "after": found[-1].row.model_name, "filter": text, "sort": sort.value}
            link = {"Link": f'</api/models?{urlencode(asked)}>; rel="next"'}
        return Json([ModelJson.of(model) for model in found], headers=link)

    @router.get("/{model_name}", responses=answers(ModelWithFilesJson, "The model.") | problems(*LOOKING))
    def show(model_name: ModelInPath) -> Json:
        """Show a model with its files, its last moves and its facts."""
        model, files = shelf.model(model_name), shelf.files(model_name)
        moves = shelf.services.moves(model)
        kin = Adapters(shelf.services.library).kin(model.row)
        return Json(ModelWithFilesJson.with_files(model, files, moves, facts_of(model, files), kin))


def _add_registering(router: APIRouter, shelf: Shelf, door: PathDoor) -> None:
    @router.post("", status_code=201, responses=answers(NewModelJson, "The model.", 201) | problems(*CHANGING))
    def register(new: NewModel) -> Json:
        """Register a model.

        Its download starts at once unless `download` is false. Files that are on the tier already are used as they
        are.
        """
        door.check_base(new.cache_location, new.cache_path)
        chooser = shelf.services.engine_chooser
        chooser.check(new.engine_change)
        plan = shelf.services.registrar.register(_registration(new))
        chooser.choose(new.model_name, new.engine_change)
        if new.download or plan.is_here:
            shelf.services.registrar.enqueue_pull(new.model_name)
        makes_room = EvictedJson.each(plan.makes_room)
        return Json(NewModelJson.of(shelf.model(new.model_name), makes_room=makes_room), 201)

    removed = answers(RemovedJson, "What was removed.") | problems(*CHANGING)

    @router.delete("/{model_name}", dependencies=[Depends(no_body)], responses=removed)
    def remove(model_name: ModelInPath, delete_files: DeleteFiles = False) -> Json:
        """Forget a model.

        With `delete_files` delete the files that nothing else needs.
        """
        return Json(RemovedJson.of(shelf.remove(model_name, delete_files=delete_files)))


def _registration(new: NewModel) -> Registration:
    return Registration(
        model_name=chosen_name(new.model_name),
        hf_path=RepoId(new.hf_path),
        cache_location=new.cache_location,
        cache_path=new.cache_path,
        revision=RefName(new.revision),
        allow_patterns=patterns_of(new.allow_patterns),
        pinned=new.pinned,
    )


def _add_changing(router: APIRouter, shelf: Shelf, door: PathDoor) -> None:
    changed = answers(ModelJson, "The model.") | answers(MoveJobJson, "The job of the move.", 202)

    @router.patch("/{model_name}", responses=changed | problems(*CHANGING))
    def change(model_name: ModelInPath, wanted: Change) -> Json:
        """Rename, pin, unpin or move a model, or choose its engine.

        An engine that runs goes on as it is until it is idle. Only a move, which `cache_location` asks for, answers 202
        with its job.
        """
        if wanted.cache_location is not None:
            door.check_base(wanted.cache_location, wanted.cache_path)
        shelf.services.engine_chooser.choose(model_name, wanted.engine_change)
        if wanted.model_name is not None:
            shelf.rename(model_name, wanted.model_name)
            model_name = wanted.model_name
        if wanted.pinned is not None:
            shelf.pin(model_name, wanted.pin_reason) if wanted.pinned else shelf.unpin(model_name)
        if wanted.cache_location is None:
            return Json(ModelJson.of(shelf.model(model_name)))
        to, path = wanted.cache_location, wanted.cache_path
        leaving = EvictedJson.each(shelf.services.mover.who_leaves(model_name, to, path))
        job = shelf.services.mover.enqueue(model_name, to, path, keep_source=wanted.keep_source)
        return accepted(MoveJobJson.of(job, makes_room=leaving))


def _add_long_work(router: APIRouter, shelf: Shelf) -> None:
    pulled = ACCEPTED | problems(*CHANGING)

    @router.post("/{model_name}/pull", status_code=202, dependencies=[Depends(no_body)], responses=pulled)
    def pull(model_name: ModelInPath) -> Json:
        """Download a model's missing files."""
        return accepted(JobJson.of(shelf.services.registrar.enqueue_pull(model_name)))

    @router.post(
        "/{model_name}/update", status_code=202, responses=ACCEPTED | planned(UpdatePlanJson) | problems(*CHANGING)
    )
    def update(model_name: ModelInPath, wanted: MayUpdate) -> Json:
        """Update a model to the newest commit of its revision.

        The old commit is used until the new one is whole. With `dry_run` show what would be downloaded.
        """
        updater = shelf.services.updater
        plan = updater.plan(model_name, keep_old=wanted.keep_old)
        return Json(UpdatePlanJson.of(plan)) if wanted.dry_run else accepted(JobJson.of(updater.enqueue(plan)))

    @router.post("/{model_name}/verify", status_code=202, responses=ACCEPTED | problems(*CHANGING))
    def verify(model_name: ModelInPath, wanted: MayVerify) -> Json:
        """Read every byte of a model, and compare it with its digest.

        The job's result lists what is wrong.
        """
        return accepted(JobJson.of(shelf.services.verifier.enqueue([model_name], **wanted.model_dump())))
