"""`/api/engines` and loading: which models are in memory, and who goes in and out by hand."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Body

from modelshelf.domain.serving import EngineStatus
from modelshelf.schemas.engine_status import EngineStatusJson, UnloadedJson
from modelshelf.schemas.jobs import JobJson
from modelshelf.server.answers import Json, accepted
from modelshelf.server.api.requests import Load, ModelInPath
from modelshelf.server.gateway.asked import keep_alive_in
from modelshelf.server.gateway.ports import Engines
from modelshelf.server.loads import load_by_hand
from modelshelf.server.openapi import ACCEPTED, answers, problems
from modelshelf.services.services import Services
from modelshelf.services.serving.uses import Ledger

MayLoad = Annotated[Load, Body(default_factory=Load)]
_ASKING = problems(404, 413, 422, 429)


def create_router(services: Services, engines: Engines, ledger: Ledger) -> APIRouter:
    """Return the routes over the engines of this process.

    Args:
        services: Those of the library with their models.
        engines: The engines.
        ledger: What notes their answers.
    """
    router = APIRouter(prefix="/api", tags=["engines"])

    def shown(found: list[EngineStatus]) -> list[EngineStatusJson]:
        rows = {name: services.library.reader.model(name) for name in {status.model_name for status in found}}
        at = {name: row.cache_location for name, row in rows.items() if row is not None}
        rates = ledger.rates()
        return [
            EngineStatusJson.of(status, at.get(status.model_name), rates.get(status.model_name)) for status in found
        ]

    @router.get("/engines", responses=answers(list[EngineStatusJson], "The models in memory, by name."))
    async def list_engines() -> Json:
        """List the models that are loaded, start, or failed."""
        return Json(await to_thread.run_sync(shown, await engines.engines()))

    @router.post("/models/{model_name}/load", status_code=202, responses=ACCEPTED | _ASKING)
    async def load(model_name: ModelInPath, wanted: MayLoad) -> Json:
        """Load a model into memory, which makes room as a request does.

        The job is done once the model answers. A request for an answer waits for that by itself.
        """
        keep_alive_s = keep_alive_in(wanted.keep_alive)
        job = await load_by_hand(services.load_jobs, engines, model_name, keep_alive_s, pinned=wanted.pinned)
        return accepted(JobJson.of(job))

    @router.post("/models/{model_name}/unload", responses=answers(UnloadedJson, "It is gone.") | _ASKING)
    async def unload(model_name: ModelInPath) -> Json:
        """Unload a model.

        It finishes what it answers first; the answer comes when nothing of its engine is left.
        """
        await engines.unload(model_name)
        return Json(UnloadedJson(model_name))

    return router
