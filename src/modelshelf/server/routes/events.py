"""`/api/events`: what changes, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent

from modelshelf.errors import Unavailable
from modelshelf.services.events import Event, Watcher

_STOP_WITHIN_S = 0.5
_MOST_WAITING = 1000
"""A client that has so many events to read yet does not read: it is cut off, and may begin anew."""

_MOST_LISTENERS = 100
"""Each wakes up twice a second."""


def create_router(watcher: Watcher) -> APIRouter:
    """Return the route over one watcher."""
    router = APIRouter(prefix="/api", tags=["events"])

    def check_room() -> None:
        if watcher.listeners >= _MOST_LISTENERS:
            raise Unavailable(f"{_MOST_LISTENERS} clients listen already.", retry_after_s=10)

    @router.get("/events", response_class=EventSourceResponse, dependencies=[Depends(check_room)])
    async def events() -> AsyncIterable[ServerSentEvent]:
        """Tell every change from now on: `job`, `model` and `tier`, each with the thing as it is then."""
        loop, told, lost = asyncio.get_running_loop(), asyncio.Queue[Event](_MOST_WAITING), asyncio.Event()

        def put(event: Event) -> None:
            if told.full():
                lost.set()
            else:
                told.put_nowait(event)

        def tell(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the loop ended first
                loop.call_soon_threadsafe(put, event)

        with watcher.telling(tell):
            yield ServerSentEvent(comment="listening")
            while not (watcher.stopping or lost.is_set()):
                with contextlib.suppress(TimeoutError):
                    event = await asyncio.wait_for(told.get(), _STOP_WITHIN_S)
                    yield ServerSentEvent(event=event.kind, data=event.data)

    return router
