"""`/metrics`: what Prometheus reads."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import Response

from modelshelf.domain.serving import EngineStatus
from modelshelf.server.gateway.ports import Engines
from modelshelf.server.late_metrics import LateMetrics
from modelshelf.server.openapi import Responses
from modelshelf.services.serving.uses import Ledger

_TEXT: Responses = {
    200: {
        "description": "The metrics.",
        "content": {"text/plain": {"schema": {"type": "string", "description": "Prometheus' text format."}}},
    }
}


def create_router(engines: Engines, ledger: Ledger, metrics: LateMetrics) -> APIRouter:
    """Return the route.

    Args:
        engines: The engines of this process.
        ledger: What notes the requests; those that just ended are counted first.
        metrics: What counted them.
    """
    router = APIRouter(tags=["health"])

    def text(told: list[EngineStatus]) -> Response:
        ledger.count()
        said, kind = metrics.text(told)
        return Response(said, media_type=kind)

    @router.get("/metrics", responses=_TEXT, response_class=Response, name="metrics")
    async def tell() -> Response:
        """Return what this server counts and measures, for Prometheus.

        Requests, tokens, first tokens and loads since it began; engines, queues, tiers and jobs as they are. A key
        needs the scope `read`.
        """
        return await to_thread.run_sync(text, await engines.engines())

    return router
