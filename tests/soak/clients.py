"""Clients of a server that do a bit of everything: ask, stream, leave, send nonsense and unload."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp

HELLO = [{"role": "user", "content": "Hello"}]
PATIENCE_S = 120.0
"""A client that gives up after so long counts as a failure: nothing here takes a tenth of it."""
_EXPECTED = {200, 400, 404, 429, 502, 503}
"""What a request may be answered: an engine that crashes is a 502 or a 503."""


@dataclass
class Clients:
    """Clients that share a server, and the count of what they met."""

    url: str
    writers: tuple[str, ...]
    """Models that generate."""
    reader: str
    """A model that embeds."""
    seed: int = 0
    met: Counter[str] = field(default_factory=Counter)
    """How often each request met which end."""
    wrong: list[str] = field(default_factory=list)
    """What shouldn't have happened."""

    def run(self, count: int, duration_s: float) -> None:
        """Let so many clients work side by side, for so long."""
        asyncio.run(self._run(count, time.monotonic() + duration_s))

    async def _run(self, count: int, end_s: float) -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(self.url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*[self._work(session, Random(self.seed + i), end_s) for i in range(count)])

    async def _work(self, session: aiohttp.ClientSession, random: Random, end_s: float) -> None:
        while time.monotonic() < end_s:
            name, weight, act = random.choices(ACTS, [each[1] for each in ACTS])[0]
            assert weight
            try:
                end = await act(self, session, random)
            except (aiohttp.ClientError, TimeoutError) as err:
                end = type(err).__name__
                self.wrong.append(f"{name}: {err!r}")
            self.met[f"{name}: {end}"] += 1

    async def stream(self, session: aiohttp.ClientSession, random: Random) -> str:
        """Read an answer to its end; one that the engine broke off says so in an event."""
        body = {"model": random.choice(self.writers), "messages": HELLO, "stream": True}
        async with session.post("/v1/chat/completions", json=body) as answer:
            text = await answer.text()
        if answer.status != 200:
            return self._status(answer.status)
        if '"error"' in text:
            return "broken off, and told"
        return "whole" if text.endswith("data: [DONE]\n\n") else self._amiss("a stream without an end")

    async def leave_a_stream(self, session: aiohttp.ClientSession, random: Random) -> str:
        """Leave after some bytes of an answer."""
        body = {"model": random.choice(self.writers), "messages": HELLO, "stream": True, "max_tokens": 2000}
        async with session.post("/v1/chat/completions", json=body) as answer:
            await answer.content.readany()
            answer.close()
        return "left"

    async def leave_soon(self, session: aiohttp.ClientSession, random: Random) -> str:
        """Leave before there can be an answer, perhaps while the model loads."""
        body = {"model": random.choice(self.writers), "messages": HELLO}
        try:
            patience = aiohttp.ClientTimeout(total=random.choice((0.001, 0.02, 0.3)))
            async with session.post("/v1/chat/completions", json=body, timeout=patience) as answer:
                await answer.read()
        except TimeoutError:
            return "left"
        return self._status(answer.status)

    async def ask(self, session: aiohttp.ClientSession, random: Random) -> str:
        """Ask in one of the protocols."""
        model, key = random.choice(self.writers), f"key-{random.randrange(5)}"
        path, body = random.choice(
            (
                ("/v1/chat/completions", {"messages": HELLO}),
                ("/v1/messages", {"messages": HELLO, "max_tokens": 20}),
                ("/api/chat", {"messages": HELLO, "stream": True}),
                ("/api/generate", {"prompt": "Hello", "stream": False}),
            )
        )
        headers = {"Authorization": f"Bearer {key}"}
        async with session.post(path, json={"model": model, **body}, headers=headers) as answer:
            await answer.read()
        return self._status(answer.status)

    async def embed(self, session: aiohttp.ClientSession, random: Random) -> str:
        """Ask for vectors."""
        body = {"model": self.reader, "input": ["text"] * random.randrange(1, 50)}
        async with session.post("/v1/embeddings", json=body) as answer:
            await answer.read()
        return self._status(answer.status)

    async def look(self, session: aiohttp.ClientSession, random: Random) -> str:
        """Look at what there is."""
        path = random.choice(("/v1/models", "/api/engines", "/api/tags", "/api/ps", "/api/models", "/healthz"))
        async with session.get(path) as answer:
            await answer.read()
        return self._status(answer.status)

    async def err(self, session: aiohttp.ClientSession, random: Random) -> str:
        """Send what can't be answered."""
        data = random.choice((b"{", b"[]", b'{"model": 3}', json.dumps({"model": "nope", "messages": HELLO}).encode()))
        async with session.post("/v1/chat/completions", data=data) as answer:
            await answer.read()
        return self._status(answer.status) if answer.status in (400, 404) else self._amiss(f"nonsense: {answer.status}")

    async def unload(self, session: aiohttp.ClientSession, random: Random) -> str:
        """Unload a model, whoever is answered by it."""
        async with session.post(f"/api/models/{random.choice((*self.writers, self.reader))}/unload") as answer:
            await answer.read()
        return self._status(answer.status)

    def _status(self, status: int) -> str:
        return str(status) if status in _EXPECTED else self._amiss(str(status))

    def _amiss(self, what: str) -> str:
        self.wrong.append(what)
        return what


Act = Callable[[Clients, aiohttp.ClientSession, Random], Awaitable[Any]]
ACTS: tuple[tuple[str, int, Act], ...] = (
    ("stream", 30, Clients.stream),
    ("ask", 30, Clients.ask),
    ("leave a stream", 10, Clients.leave_a_stream),
    ("leave soon", 10, Clients.leave_soon),
    ("embed", 10, Clients.embed),
    ("look", 10, Clients.look),
    ("nonsense", 5, Clients.err),
    ("unload", 1, Clients.unload),
)
"""What clients do, and how often."""
