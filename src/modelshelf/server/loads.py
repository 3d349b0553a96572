"""Models that a server loads as it starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from modelshelf.errors import ShelfError
from modelshelf.server.gateway.ports import Engines

_log = logging.getLogger(__name__)
_FOR_EVER = -1.0


@asynccontextmanager
async def preloading(engines: Engines, model_names: Sequence[str]) -> AsyncIterator[None]:
    """Load models beside whatever the server does; they stay until others need their room."""
    loads = [asyncio.create_task(_load(engines, name)) for name in model_names]
    try:
        yield
    finally:
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)


async def _load(engines: Engines, model_name: str) -> None:
    try:
        await engines.load(model_name, _FOR_EVER)
    except ShelfError as err:
        _log.error("model_not_loaded", extra={"model": model_name, "detail": err.detail})
