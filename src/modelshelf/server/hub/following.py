"""An answer whose bytes are still on their way from the hub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO, ParamSpec, TypeVar

from starlette.responses import Response

from modelshelf.errors import ShelfError
from modelshelf.server.hub.sendfile import is_zero_copy, send_chunks, send_part, until_disconnect
from modelshelf.store.os_errors import of_os_error

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from modelshelf.services.mirror.arrival import Arrival

_P = ParamSpec("_P")
_T = TypeVar("_T")

_log = logging.getLogger(__name__)
_POLL_S, _LONGEST_POLL_S = 0.02, 0.2
"""How soon it is looked for more bytes, in seconds: rarer while none come, for many may wait."""


class Following(Response):
    """A part of a file that is being fetched, as the body.

    Before its first byte an error is an error; later it ends the connection, because the client must not take what it
    has for the whole. A client that leaves stops only its own answer.

    Args:
        arrival: The file; closed however the response ends.
        span: The bytes that are asked for.
        status_code: 200, or 206 for a part.
        headers: The response's headers.
        refuse: Returns the response for an error.
    """

    def __init__(
        self,
        arrival: Arrival,
        span: range,
        *,
        status_code: int,
        headers: Mapping[str, str],
        refuse: Callable[[ShelfError], Response],
    ) -> None:
        super().__init__(status_code=status_code, headers={**headers, "Content-Length": str(len(span))})
        self._arrival = arrival
        self._span = span
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        gone = asyncio.create_task(until_disconnect(receive))
        try:
            with self._arrival:
                await self._follow(gone, scope, receive, send)
        finally:
            gone.cancel()

    async def _follow(self, gone: asyncio.Task[None], scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head with the first bytes that come, and then what follows."""
        at, stop, has_begun = self._span.start, self._span.stop, False
        try:
            while (found := await self._next(at, gone)) is not None:
                if not has_begun:
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                    has_begun = True
                if not isinstance(found, bytes):
                    await _send_rest(found, range(at, stop), gone, scope, send)
                    return
                at += len(found)
                await send({"type": "http.response.body", "body": found, "more_body": at < stop})
                if at >= stop:
                    return
        except ShelfError as err:
            if has_begun:
                _log.warning("answer_cut", extra={"detail": err.detail})
            else:
                await self._refuse(err)(scope, receive, send)

    async def _next(self, at: int, gone: asyncio.Task[None]) -> bytes | BinaryIO | None:
        """Wait for the next bytes, or the whole file; None if the client is gone."""
        pause_s = _POLL_S
        while not gone.done():
            found = await asyncio.to_thread(_known, self._arrival.read, at, self._span.stop)
            if found is not None:
                return found
            await asyncio.wait((gone,), timeout=pause_s)
            pause_s = min(1.2 * pause_s, _LONGEST_POLL_S)
        return None


async def _send_rest(file: BinaryIO, span: range, gone: asyncio.Task[None], scope: Scope, send: Send) -> None:
    """End the response with the rest of a file that is whole by now."""
    with file:
        if is_zero_copy(scope):
            await send_part(file, span.start, len(span), send)
        else:
            await send_chunks(file, span.start, len(span), gone, send)


def _known(ask: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Ask, and turn an error of the disk into one of ours."""
    try:
        return ask(*args, **kwargs)
    except OSError as err:
        raise of_os_error(err) from err
