"""Loads that no request for an answer asks for: by hand, and of the models that a server loads as it starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from modelshelf.domain.jobs import A_PERSON, Job
from modelshelf.errors import ShelfError
from modelshelf.server.gateway.ports import Engines
from modelshelf.services.serving.load_jobs import LoadJobs

_log = logging.getLogger(__name__)
_FOR_EVER = -1.0


async def load_by_hand(
    jobs: LoadJobs, engines: Engines, model_name: str, keep_alive_s: float | None = None, *, pinned: bool = False
) -> Job:
    """Let a model be loaded, and return the job, which is done once it answers.

    Args:
        jobs: Keeps the job.
        engines: Loads it.
        model_name: The model.
        keep_alive_s: How long it then stays when it is idle; see `EnginePool.use`.
        pinned: Whether it then never makes room for another model.

    Raises:
        NotFound, BadInput, Unavailable: It can't be loaded; see `EnginePool.look`.
    """
    wanted = await engines.look(model_name)
    return await jobs.begin(wanted, lambda: engines.load(model_name, keep_alive_s, pinned=pinned), A_PERSON)


@asynccontextmanager
async def preloading(jobs: LoadJobs, engines: Engines, model_names: Sequence[str]) -> AsyncIterator[None]:
    """Load models beside whatever the server does; they stay until others need their room."""
    begins = [asyncio.create_task(_begin(jobs, engines, name)) for name in model_names]
    try:
        yield
    finally:
        for begin in begins:
            begin.cancel()
        await asyncio.gather(*begins, return_exceptions=True)


async def _begin(jobs: LoadJobs, engines: Engines, model_name: str) -> None:
    try:
        await load_by_hand(jobs, engines, model_name, _FOR_EVER)
    except ShelfError as err:
        _log.error("model_not_loaded", extra={"model": model_name, "detail": err.detail})
