"""`/api/cache`: the tiers, and jobs on everything that they hold."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query

from modelshelf.domain.adopt import AdoptMode, AdoptRequest
from modelshelf.schemas.adopt import AdoptAllPlanJson, AdoptPlanJson
from modelshelf.schemas.garbage import DedupePlanJson, GcPlanJson
from modelshelf.schemas.history import TierHistoryJson
from modelshelf.schemas.jobs import JobJson
from modelshelf.schemas.reconcile import ReconciledJson
from modelshelf.schemas.tiers import TierJson
from modelshelf.server.answers import Json, accepted
from modelshelf.server.api.requests import Adopt, AdoptAll, Collect, Deduplicate, NewVerification, Reconcile
from modelshelf.server.doors import PathDoor
from modelshelf.server.openapi import ACCEPTED, CHANGING, LOOKING, answers, planned, problems
from modelshelf.services.shelf import Shelf

MayCollect = Annotated[Collect, Body(default_factory=Collect)]
MayDeduplicate = Annotated[Deduplicate, Body(default_factory=Deduplicate)]
MayReconcile = Annotated[Reconcile, Body(default_factory=Reconcile)]
MayVerify = Annotated[NewVerification, Body(default_factory=NewVerification)]
Days = Annotated[int, Query(ge=1, le=365, description="How many days back.")]
Rescan = Annotated[bool, Query(description="Whether every file is measured again.")]


def create_router(shelf: Shelf, door: PathDoor) -> APIRouter:
    """Return the routes over one library."""
    router = APIRouter(prefix="/api/cache", tags=["cache"])
    _add_looking(router, shelf)
    _add_tidying(router, shelf)
    _add_checking(router, shelf)
    _add_adopting(router, shelf, door)
    return router


def _add_looking(router: APIRouter, shelf: Shelf) -> None:
    @router.get("", responses=answers(list[TierJson], "The tiers, fastest first.") | problems(*LOOKING))
    def tiers(rescan: Rescan = False) -> Json:
        """Show each tier: its limit, its usage, and the free space of its disk."""
        return Json([TierJson.of(status) for status in shelf.tiers(rescan=rescan)])

    @router.get("/history", responses=answers(list[TierHistoryJson], "The tiers, fastest first.") | problems(*LOOKING))
    def history(days: Days = 90) -> Json:
        """Show what each tier held over time.

        There is one point an hour at most, and one a day before the last month. The first point may be from before
        that time: what it says held until the next one.
        """
        return Json([TierHistoryJson.of(one) for one in shelf.services.history.of_tiers(days)])


def _add_tidying(router: APIRouter, shelf: Shelf) -> None:
    @router.post("/gc", status_code=202, responses=ACCEPTED | planned(list[GcPlanJson]) | problems(*CHANGING))
    def gc(wanted: MayCollect) -> Json:
        """Delete what nothing references.

        With `dry_run` show what would be deleted.
        """
        if wanted.dry_run:
            plans = shelf.services.collector.plan(wanted.params())
            return Json([GcPlanJson.of(*plan) for plan in plans])
        return accepted(JobJson.of(shelf.services.collector.enqueue(wanted.params())))

    @router.post("/dedupe", status_code=202, responses=ACCEPTED | planned(list[DedupePlanJson]) | problems(*CHANGING))
    def dedupe(wanted: MayDeduplicate) -> Json:
        """Let identical blobs of a tier share their bytes.

        With `dry_run` show which blobs would share theirs.
        """
        if wanted.dry_run:
            return Json([DedupePlanJson.of(*plan) for plan in shelf.services.deduper.plan(wanted.params())])
        return accepted(JobJson.of(shelf.services.deduper.enqueue(wanted.params())))


def _add_checking(router: APIRouter, shelf: Shelf) -> None:
    @router.post("/verify", status_code=202, responses=ACCEPTED | problems(*CHANGING))
    def verify(wanted: MayVerify) -> Json:
        """Read every byte on every tier, and compare it with its digest.

        The job's result lists what is wrong.
        """
        return accepted(JobJson.of(shelf.services.verifier.enqueue([], **wanted.model_dump())))

    @router.post("/reconcile", status_code=202, responses=ACCEPTED | planned(ReconciledJson) | problems(*CHANGING))
    def reconcile(wanted: MayReconcile) -> Json:
        """Bring the registry and the disks together.

        No file of a model is deleted. With `dry_run` show what would change.
        """
        if wanted.dry_run:
            return Json(ReconciledJson.of(shelf.services.reconciler.plan()))
        return accepted(JobJson.of(shelf.services.reconciler.enqueue()))


def _add_adopting(router: APIRouter, shelf: Shelf, door: PathDoor) -> None:
    @router.post("/adopt/all", status_code=202, responses=ACCEPTED | planned(AdoptAllPlanJson) | problems(*CHANGING))
    def adopt_all(wanted: AdoptAll) -> Json:
        """Adopt what is at every place where programs of the server's machine keep models.

        Links stand where the programs look. With `dry_run` show what would happen.
        """
        door.check_target(wanted.to)
        if wanted.dry_run:
            return Json(AdoptAllPlanJson.of(shelf.services.everything.plan(wanted.to)))
        return accepted(JobJson.of(shelf.services.everything.enqueue(wanted.to)))

    @router.post("/adopt", status_code=202, responses=ACCEPTED | planned(AdoptPlanJson) | problems(*CHANGING))
    def adopt(wanted: Adopt) -> Json:
        """Adopt models that other tools downloaded.

        With `dry_run` show what would happen with each model.
        """
        if wanted.path is not None:
            door.check_source(wanted.path)
        path = wanted.path or shelf.services.adopter.planner.default_folder()
        door.check_target(wanted.to)
        request = AdoptRequest(path, AdoptMode(wanted.mode), wanted.to, wanted.merge, wanted.copies, wanted.repo)
        if wanted.dry_run:
            return Json(AdoptPlanJson.of(shelf.services.adopter.planner.plan(request)))
        return accepted(JobJson.of(shelf.services.adopter.enqueue(request)))
