"""`/api/events`: what changes, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent

from modelshelf.services.events.watch import Event, Watcher

_STOP_WITHIN_S = 0.5
_MOST_WAITING = 1000
"""A client that has so many events to read yet does not read: it is cut off, and may begin anew."""


class _Inbox:
    """What one client has yet to be told."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.events = asyncio.Queue[Event](_MOST_WAITING)
        self.overflowed = False

    def tell(self, event: Event) -> None:
        """Take an event in, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop ended first
            self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: Event) -> None:
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            self.overflowed = True


def create_router(watcher: Watcher) -> APIRouter:
    """Return the route over one watcher."""
    router = APIRouter(prefix="/api", tags=["events"])

    async def listen() -> AsyncIterator[_Inbox]:
        """Take a listener's place before the answer begins, while 503 can still be said."""
        inbox = _Inbox()
        with watcher.telling(inbox.tell):
            yield inbox

    @router.get("/events", response_class=EventSourceResponse)
    async def events(inbox: _Inbox = Depends(listen)) -> AsyncIterable[ServerSentEvent]:  # noqa: B008 - FastAPI's way to hand something in
        """Tell every change from now on: `job`, `model` and `tier`, each with the thing as it is then."""
        yield ServerSentEvent(comment="listening")
        while not (watcher.stopping or inbox.overflowed):
            with contextlib.suppress(TimeoutError):
                event = await asyncio.wait_for(inbox.events.get(), _STOP_WITHIN_S)
                yield ServerSentEvent(event=event.kind, data=event.data)

    return router
