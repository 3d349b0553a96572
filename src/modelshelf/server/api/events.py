"""`/api/events`: changes, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from modelshelf.server.openapi import problems
from modelshelf.services.events.watch import Event, Watcher

_MOST_WAITING = 1000
"""A client with so many unread events is cut off, and may connect again."""
_MOST_DIGITS = 18
_LONGEST_S = 300.0
"""So long one answer lasts at most: a key that was revoked meanwhile opens no further one."""


class _Inbox:
    """One client's unread events."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.events = asyncio.Queue[Event](_MOST_WAITING)
        self.overflowed = False
        self.position = 0
        """The newest change before the first event here."""

    def tell(self, event: Event) -> None:
        """Add an event, from any thread."""
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
        """Take a listener's place before the answer begins, while 503 can still be sent."""
        inbox = _Inbox()
        with watcher.telling(inbox.tell) as inbox.position:
            yield inbox

    @router.get("/events", response_class=EventSourceResponse, responses=problems(422))
    async def events(
        inbox: _Inbox = Depends(listen),  # noqa: B008 - FastAPI's way to hand something in
        last_event_id: Annotated[str | None, Header(description="The id of the last event that was received.")] = None,
        after: Annotated[str | None, Query(description="The same, for clients that can't send headers.")] = None,
    ) -> AsyncIterable[ServerSentEvent]:
        """Send every change of a job, a model, a lease or a tier, from now on or after another event.

        The answer ends after five minutes; asked again with the last id, as browsers do by themselves, it goes on
        without a gap. `resync` says that the changes since that event aren't known any more: read everything again.
        """
        last = after if last_event_id is None else last_event_id
        yield ServerSentEvent(comment="listening", id=str(inbox.position) if last is None else None)
        if last is not None:
            for event in await to_thread.run_sync(watcher.missed, _parse_id(last), inbox.position):
                yield _as_sent(event)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _LONGEST_S
        while not (watcher.stopping or inbox.overflowed):
            try:
                event = await asyncio.wait_for(inbox.events.get(), until_s - loop.time())
            except TimeoutError:
                return
            if event.kind == "end":
                return
            yield _as_sent(event)

    return router


def _parse_id(text: str) -> int:
    """Return the id of a change; of an invalid one, an id that never was."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else 0


def _as_sent(event: Event) -> ServerSentEvent:
    return ServerSentEvent(event=event.kind, data=event.data, id=None if event.id is None else str(event.id))
