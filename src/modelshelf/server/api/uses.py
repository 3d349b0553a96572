"""`/api/uses` and `/api/stats`: what models were asked, when, and how well that went."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from modelshelf.domain.uses import UseFilter, parse_since
from modelshelf.schemas.uses import ModelStatsJson, UseJson
from modelshelf.server.answers import Json
from modelshelf.server.openapi import answers, problems
from modelshelf.services.serving.uses import Ledger, stats_of
from modelshelf.services.shelf import Shelf

_MOST_ROWS = 1000
Model = Annotated[str | None, Query(description="Only this model.", max_length=250)]
Since = Annotated[
    str | None, Query(description="Only from then on: a duration such as `7d`, or a time in RFC 3339.", max_length=40)
]
After = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="The next page: only what is older than the use of this id.")
]
Limit = Annotated[int, Query(ge=1, le=_MOST_ROWS, description="How many at most.")]


def create_router(shelf: Shelf, ledger: Ledger) -> APIRouter:
    """Return the routes over the ledger of uses.

    Args:
        shelf: The library.
        ledger: What this server writes; what it hasn't written yet is shown too.
    """
    router = APIRouter(prefix="/api", tags=["uses"])
    registry, clock = shelf.services.registry, shelf.services.clock

    def since_of(text: str | None) -> float | None:
        return None if text is None else parse_since(text, clock.now())

    @router.get("/uses", responses=answers(list[UseJson], "The uses.") | problems(422))
    def uses(model: Model = None, since: Since = None, after: After = None, limit: Limit = 100) -> Json:
        """List the uses of models, newest first.

        Requests of all protocols, and loads, runs and engines. No prompt and no answer is kept.
        """
        wanted = UseFilter(model, since_of(since), after, limit)
        ledger.write()
        return Json([UseJson.of(use) for use in registry.uses(wanted)])

    @router.get("/stats", responses=answers(list[ModelStatsJson], "The models that were asked.") | problems(404, 422))
    def stats(model: Model = None, since: Since = None) -> Json:
        """Sum up the requests to each model, by name."""
        from_s = since_of(since)
        ledger.write()
        return Json([ModelStatsJson.of(one, from_s) for one in stats_of(registry, model, from_s)])

    return router
