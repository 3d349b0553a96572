"""One request on its way to an engine, and the answer on its way back: in bytes, with no more read than is taken."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.domain.ports import Clock
from modelshelf.domain.serving import Served
from modelshelf.errors import BadInput, EngineFailed, NotFound, ShelfError, TooMany
from modelshelf.server.gateway.asked import Asked
from modelshelf.server.gateway.client import Client, Shape, WhileThere
from modelshelf.server.gateway.entry import Entry
from modelshelf.server.gateway.names import Names
from modelshelf.server.gateway.ports import Engines
from modelshelf.services.serving.uses import Ledger
from modelshelf.store.os_errors import of_os_error
from modelshelf.units import format_size

if TYPE_CHECKING:
    import aiohttp

_CONNECT_WITHIN_S = 5.0
_IDLE_CONNECTION_S = 3.0
"""Engines close idle connections after five seconds (uvicorn, cpp-httplib): ours are gone before."""
_LARGE_BYTES = 1 << 18
_MOST_WHOLE_BYTES = 256 << 20
_MOST_ERROR_BYTES = 64 << 10
_PATHS = {Endpoint.TOKENIZE: "/tokenize"}
"""What isn't below /v1 of an engine. Source: llama-server, vLLM."""


def _new_session() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN_S),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
    )


@dataclass(slots=True)
class Door:
    """What all requests share."""

    engines: Engines
    names: Names
    ledger: Ledger
    clock: Clock
    _session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Begin, in the event loop of the application, and end with it."""
        await self.engines.start()
        try:
            yield
        finally:
            await self.engines.stop()
            if self._session is not None:
                await self._session.close()

    async def session(self) -> aiohttp.ClientSession:
        """Return what requests to engines go through; a server that was asked nothing does without aiohttp (7 MB)."""
        if self._session is None:
            await to_thread.run_sync(importlib.import_module, "aiohttp")
            self._session = self._session or _new_session()
        return self._session

    def entry(self, scope: Scope, endpoint: Endpoint, model_name: str) -> Entry:
        """Return the ledger's entry of a request that comes now."""
        return Entry.begin(scope, endpoint, model_name, self.clock.now())

    async def parsed(self, request: Request, endpoint: Endpoint, parse: Callable[[bytes], Asked]) -> Asked:
        """Return what a request asks.

        Raises:
            BadInput: It can't be understood; the ledger knows.
        """
        message = await request.receive()  # with the whole body: `BoundedBodies` saw to it
        try:
            return parse(message["body"])
        except BadInput as err:
            entry = self.entry(request.scope, endpoint, "")
            entry.failed(err)
            self.ledger.add(entry.end().use)
            raise


@dataclass(frozen=True, slots=True)
class Relay:
    """One request, as the ASGI application that answers it.

    Nothing of the client's head reaches the engine and nothing of the engine's the client, but for the content type:
    neither key can pass.
    """

    door: Door
    asked: Asked
    endpoint: Endpoint
    shape: Shape
    key: str = ""
    """Whose request it is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it; when the client leaves, the engine's connection is closed and the use of the engine ends."""
        client, entry = Client(send, self.shape), self.door.entry(scope, self.endpoint, self.asked.model)
        try:
            with WhileThere(receive):
                try:
                    with await self._used(client, entry) as served:
                        entry.meet(served)
                        await self._carry(client, entry, served)
                    entry.answered()
                except (ShelfError, OSError) as fault:
                    err = fault if isinstance(fault, ShelfError) else of_os_error(fault)
                    entry.failed(err)
                    await client.fail(err)
            entry.left()
        finally:
            self.door.ledger.add(entry.end().use)

    async def _used(self, client: Client, entry: Entry) -> AbstractContextManager[Served]:
        """Wait until the model answers; a client that streams waits as long as it takes, and is told what it waits for.

        Raises:
            ShelfError: It can't be used; see `EnginePool.use`.
        """
        names, asked, streams = self.door.names, self.asked, self.asked.stream
        model_name = names.meant(asked.model)

        def use(name: str) -> Awaitable[AbstractContextManager[Served]]:
            entry.model_name = name
            return self.door.engines.use(name, self.endpoint, asked.keep_alive_s, self.key, patient=streams)

        with client.told(lambda: self._progress(model_name or asked.model)) if streams else contextlib.nullcontext():
            if model_name is not None:
                with contextlib.suppress(NotFound):
                    return await use(model_name)
            model_name = await names.find(asked.model)
            return await use(model_name)

    async def _carry(self, client: Client, entry: Entry, served: Served) -> None:
        """Ask the engine, and hand its answer on; the connection of an answer that wasn't read to its end is closed."""
        self.asked.refuse_ignored(served)
        self.asked.refuse_addresses()
        try:
            upstream = await self._ask(served)
            try:
                await self._answer(client, entry, served, upstream)
            finally:
                if upstream.content.at_eof():
                    upstream.release()
                else:
                    upstream.close()
        except _engine_faults() as err:
            detail = f"{served.backend} broke off its answer for {served.model_name}."
            raise EngineFailed(detail, hint="Ask again: it is started anew.") from err

    async def _answer(self, client: Client, entry: Entry, served: Served, upstream: aiohttp.ClientResponse) -> None:
        if upstream.status >= 300:
            raise _refusal(served, upstream.status, await _read(upstream, _MOST_ERROR_BYTES))
        if self.asked.stream:
            await self._stream(client, entry, upstream)
        else:
            body = await _read(upstream, _MOST_WHOLE_BYTES)
            entry.see_whole(body)
            await client.whole(200, self._translated(served, body), {})

    def _progress(self, model_name: str) -> str:
        status = self.door.engines.status_of(model_name)
        return f"loading {model_name}" + (f" ({status.state.value})" if status else "")

    def _translated(self, served: Served, body: bytes) -> bytes:
        try:
            return self.shape.whole(body)
        except (ValueError, LookupError, TypeError, AttributeError) as err:
            detail = f"The answer of {served.backend} for {served.model_name} can't be understood."
            raise EngineFailed(detail, hint="See its log.") from err

    async def _ask(self, served: Served) -> aiohttp.ClientResponse:
        """Send the request to the engine, and return the head of its answer."""
        url = served.url + _PATHS.get(self.endpoint, f"/v1/{self.endpoint.value}")
        headers = {"Content-Type": "application/json", "Accept": "*/*"}
        if served.key:
            headers["Authorization"] = f"Bearer {served.key}"
        if self.asked.stream:  # llama.cpp closes the connection behind a stream though it says that it stays open
            headers["Connection"] = "close"
        body = self.asked.body_for(served)
        session = await self.door.session()
        # Never sent twice: the engine may have begun to answer, and nobody tells whether it has.
        return await session.post(url, headers=headers, allow_redirects=False, data=_payload(body))

    async def _stream(self, client: Client, entry: Entry, upstream: aiohttp.ClientResponse) -> None:
        await client.begin_stream()
        while chunk := await upstream.content.readany():
            entry.see(chunk)
            await client.part(self.shape.part(chunk))
        await client.end(self.shape.end())


def _payload(body: bytes) -> bytes | BytesIO:
    """Return a body as aiohttp wants it, which sends a large one in pieces."""
    return body if len(body) < _LARGE_BYTES else BytesIO(body)


def _refusal(served: Served, status: int, body: bytes) -> ShelfError:
    """Return the error that an engine's refusal is; what the client can't help is the engine's failure."""
    told = _error_in(body)
    said = f"{served.backend} answered {status} for {served.model_name}: {told.get('message') or 'no more'}"
    if status == 429:
        return TooMany(said)
    if status in (401, 403) or (status >= 500 and status != 501):
        return EngineFailed(said)
    return BadInput(said, engine_error=told)


def _error_in(body: bytes) -> dict[str, Any]:
    """Return the error that an engine tells of, in OpenAI's form or FastAPI's; empty where it tells nothing."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": body.decode(errors="replace").strip()} if body else {}
    error = (told.get("error") or told.get("detail")) if isinstance(told, dict) else told
    if isinstance(error, dict):
        return error
    return {"message": error if isinstance(error, str) else json.dumps(error) if error else ""}


async def _read(upstream: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Return the body of an answer.

    Raises:
        EngineFailed: It is longer than that.
    """
    body = bytearray()
    while chunk := await upstream.content.readany():
        body += chunk
        if len(body) > most_bytes:
            raise EngineFailed(f"The engine's answer has more than {format_size(most_bytes)}.")
    return bytes(body)


def _engine_faults() -> tuple[type[Exception], ...]:
    """Return what may go wrong with an engine's connection."""
    import aiohttp

    return aiohttp.ClientError, ConnectionError
