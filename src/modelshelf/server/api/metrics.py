"""`/metrics`: what Prometheus reads."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import Response

from modelshelf.domain.serving import EngineStatus
from modelshelf.server.gateway.ports import Engines
from modelshelf.server.metrics import CONTENT_TYPE, Meters, Sights
from modelshelf.server.openapi import Responses
from modelshelf.services.serving.uses import Ledger
from modelshelf.services.shelf import Shelf

_TEXT: Responses = {
    200: {
        "description": "The metrics.",
        "content": {"text/plain": {"schema": {"type": "string", "description": "Prometheus' text format."}}},
    }
}


def create_router(shelf: Shelf, engines: Engines, ledger: Ledger, meters: Meters) -> APIRouter:
    """Return the route.

    Args:
        shelf: The library, whose tiers and jobs are told of.
        engines: The engines of this process.
        ledger: What notes the requests; those that just ended are counted first.
        meters: What counted them.
    """
    router, sights = APIRouter(tags=["health"]), Sights(shelf)

    def text(told: list[EngineStatus]) -> bytes:
        ledger.count()
        return sights.text(meters, told)

    @router.get("/metrics", responses=_TEXT, response_class=Response)
    async def metrics() -> Response:
        """Return what this server counts and measures, for Prometheus.

        Requests, tokens, first tokens and loads since it began; engines, queues, tiers and jobs as they are. A key
        needs the scope `read`.
        """
        return Response(await to_thread.run_sync(text, await engines.engines()), media_type=CONTENT_TYPE)

    return router
