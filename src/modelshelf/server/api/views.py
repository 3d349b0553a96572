"""`/api/views`: the folders that other programs read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from modelshelf.domain.names import ModelName, ViewRoot
from modelshelf.domain.view_kinds import kind_of
from modelshelf.schemas.views import ViewJson
from modelshelf.server.answers import Json
from modelshelf.server.api.requests import NewView
from modelshelf.server.bodies import no_body
from modelshelf.server.doors import PathDoor
from modelshelf.server.openapi import CHANGING, LOOKING, answers, planned, problems
from modelshelf.services.shelf import Shelf

Kind = Annotated[str, Query(max_length=40, description="Whose layout it has.")]
Root = Annotated[str, Query(max_length=4096, description="Its folder.")]


def create_router(shelf: Shelf, door: PathDoor) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api/views", tags=["views"])

    @router.get("", responses=answers(list[ViewJson], "The views.") | problems(*LOOKING))
    def list_views() -> Json:
        """List the folders that other programs read, and whether they are as they should be."""
        return Json([ViewJson.of(status) for status in shelf.services.views.all()])

    @router.post("", status_code=201, responses=_ADDED)
    def add(new: NewView) -> Json:
        """Make a folder that another program reads, or add models to one.

        It holds links, which follow every move. With `dry_run` show what would be in it, and what its program can't
        read.
        """
        root = ViewRoot(new.root)
        door.check_view(root)
        names = None if new.models is None else [ModelName(name) for name in new.models]
        if new.dry_run:
            return Json(ViewJson.of(shelf.services.views.plan(kind_of(new.kind), root, names)))
        return Json(ViewJson.of(shelf.services.views.add(kind_of(new.kind), root, names)), 201)

    @router.post("/sync", dependencies=[Depends(no_body)], responses=_SYNCED)
    def sync() -> Json:
        """Make all views true, as a job; the answer comes when it is over."""
        return Json([ViewJson.of(status) for status in shelf.services.view_syncer.sync()])

    @router.delete("", dependencies=[Depends(no_body)], responses=_REMOVED)
    def remove(kind: Kind, root: Root) -> Json:
        """Remove a view, and what we made in its folder."""
        return Json(ViewJson.of(shelf.services.views.remove(kind_of(kind), ViewRoot(root))))

    return router


_ADDED = answers(ViewJson, "The view.", 201) | planned(ViewJson) | problems(*CHANGING)
_SYNCED = answers(list[ViewJson], "The views.") | problems(*CHANGING)
_REMOVED = answers(ViewJson, "What is left of it.") | problems(*CHANGING)
