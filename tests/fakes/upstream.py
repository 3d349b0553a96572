"""An engine's server without a model: real HTTP on loopback, and every answer as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from modelshelf.domain.engine_kinds import Endpoint, EngineKind
from modelshelf.domain.names import ModelName
from modelshelf.domain.serving import EngineState, EngineStatus, Served
from modelshelf.errors import NotFound

KEY = "the-engine's-own-key"
NAME = "/disk/snapshots/model.gguf"
"""What the engine calls its model."""


def chunk(text: str) -> bytes:
    """Return an event of a stream, with the keys in llama.cpp's order."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice], "model": NAME, "object": "chat.completion.chunk"}).encode()


@dataclass
class Upstream:
    """What the engine was asked and what it has seen of its clients."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    """What it could send of all its streams."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a client left before its answer was over."""
    go_on: threading.Event = field(default_factory=threading.Event)
    """A stream named `hold` goes on when this is set."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as the last message says."""
        body = await request.json()
        self.bodies.append(body)
        self.heads.append(dict(request.headers))
        self.paths.append(request.path)
        said = body["messages"][-1]["content"] if "messages" in body else body.get("input", "")
        how, _, rest = str(said).partition(" ")
        if how == "refuse":
            status, _, text = rest.partition(" ")
            return web.Response(status=int(status), text=text, content_type="application/json")
        if not body.get("stream"):
            return await self._whole(body, request, how, rest)
        return await self._stream(request, how, rest)

    async def _whole(self, body: dict[str, Any], request: web.Request, how: str, rest: str) -> web.StreamResponse:
        if how == "die":
            assert request.transport is not None
            request.transport.abort()
        if request.path == "/v1/embeddings":
            data = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
            return web.json_response({"model": NAME, "data": data, "usage": {"prompt_tokens": 2}})
        if how == "nonsense" or request.path == "/tokenize":
            return web.json_response({"model": NAME, "tokens": [1, 2]})
        message = {"role": "assistant", "content": f'she said {{"model":"{NAME}"}}'}
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        timings = {"timings": {"predicted_n": 5, "predicted_per_second": float(rest)}} if how == "timed" else {}
        answer = {"choices": [choice], "model": NAME, "usage": usage, "id": "x", **timings}
        return web.json_response(answer, headers={"X-Echo": request.headers.get("Authorization", "")})

    async def _stream(self, request: web.Request, how: str, rest: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._parts(response, request, how, rest)
        except (ConnectionError, asyncio.CancelledError):
            self.left.set()
            raise
        return response

    async def _parts(self, response: web.StreamResponse, request: web.Request, how: str, rest: str) -> None:
        await self._send(response, chunk("one") + b"\n\n")
        if how == "hold":
            while not self.go_on.is_set():
                await self._send(response, chunk("on") + b"\n\n")
                await asyncio.sleep(0.01)
        if how == "much":
            for _ in range(int(rest)):
                await self._send(response, chunk("x" * 10_000) + b"\n\n")
        if how == "die":
            assert request.transport is not None
            request.transport.abort()
            return
        whole = chunk("two") + b"\n\n"
        await self._send(response, whole[:60])
        await self._send(response, whole[60:] + b"data: [DONE]\n\n")
        await response.write_eof()

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        await response.write(data)
        self.sent_bytes += len(data)


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """Serve on a free port, in a thread."""
    made, started, loop = Upstream(), threading.Event(), asyncio.new_event_loop()

    async def run() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/{rest:.*}", made.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await ended
        await runner.cleanup()

    ended = loop.create_future()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait()
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(ended.set_result, None)
        thread.join()
        loop.close()


@dataclass
class OneEngine:
    """A pool with one engine, which is ready when the test says so."""

    url: str
    names: frozenset[str] = frozenset({"smol"})
    ignores: frozenset[str] = frozenset()
    takes_tools: bool = True
    takes_media: bool = True
    samples_with: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None
    """Why a model can't be used; None: it can."""
    ready: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0
    in_use: int = 0
    uses: list[tuple[str, Endpoint, float | None, str, bool]] = field(default_factory=list)
    state: EngineState = EngineState.STARTING
    loaded: list[tuple[str, float | None]] = field(default_factory=list)
    """What was loaded by hand, and for how long."""

    async def use(
        self,
        model_name: str,
        endpoint: Endpoint,
        keep_alive_s: float | None = None,
        key: str = "",
        *,
        patient: bool = False,
    ) -> AbstractContextManager[Served]:
        """Give the engine."""
        self.uses.append((model_name, endpoint, keep_alive_s, key, patient))
        if model_name not in self.names:
            raise NotFound(f"There is no model {model_name}.", model_name=model_name)
        self.waiting += 1
        try:
            while not self.ready.is_set():  # noqa: ASYNC110 - the test sets it in another thread
                await asyncio.sleep(0.01)
        finally:
            self.waiting -= 1
        if self.error is not None:
            raise self.error
        return self._used(
            Served(
                ModelName(model_name),
                "fake",
                self.url,
                NAME,
                KEY,
                self.ignores,
                "primary",
                self.takes_tools,
                takes_media=self.takes_media,
                samples_with=self.samples_with,
            )
        )

    @contextmanager
    def _used(self, served: Served) -> Iterator[Served]:
        self.in_use += 1
        try:
            yield served
        finally:
            self.in_use -= 1

    def status_of(self, model_name: str) -> EngineStatus:
        """Return that it starts."""
        return EngineStatus(ModelName(model_name), EngineKind.GENERATE, self.state, "fake", 0, 0, 0, 300)

    async def engines(self) -> list[EngineStatus]:
        """Return that `smol` is ready."""
        return [EngineStatus(ModelName("smol"), EngineKind.GENERATE, EngineState.READY, "fake", 7, 0, 0, 300, load_s=1)]

    async def load(
        self, model_name: str, keep_alive_s: float | None = None, *, pinned: bool = False, patient: bool = True
    ) -> EngineStatus:
        """Say that it is loaded."""
        self.loaded.append((model_name, keep_alive_s))
        return (await self.engines())[0]

    async def unload(self, model_name: str) -> None:
        """Say that it is gone."""
        self.loaded.append((model_name, 0))

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""
