"""What the door adds to an engine: latency, requests a second at 16 clients, and streams, in one run.

    python bench/door.py [--rounds 5] [--requests 1000]

The engine is a program that answers at once from bytes that it has ready. The same client asks it directly and through
a server of ours in a process of its own, in turns, over connections that stay open; the first round is thrown away.
The streams are 16 of 200 events each: paced, an event in 5 ms, and as fast as they go.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import urlsplit

CLIENTS, EVENTS, PACE_S = 16, 200, 0.005
MODEL = "smol"
REPLY = json.dumps(
    {"id": "c", "object": "chat.completion", "model": "/m.gguf", "choices": [{"message": {"content": "word " * 100}}]}
).encode()
EVENT = json.dumps({"choices": [{"index": 0, "delta": {"content": " word"}}], "created": 1, "id": "c" * 32,
                    "model": "/m.gguf", "object": "chat.completion.chunk"}).encode()  # fmt: skip


class Engine(asyncio.Protocol):
    """One connection of the engine."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole."""
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split()[0]):
            return
        self.data = b""
        if b'"stream": true' in body:
            pace_s = PACE_S if b'"paced"' in body else 0.0
            self.task = asyncio.create_task(self.stream(pace_s))
        else:
            length = b"%d" % len(REPLY)
            kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            self.transport.write(kind + length + b"\r\n\r\n" + REPLY)

    async def stream(self, pace_s: float) -> None:
        """Send events."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.transport.write(head)
        event = b"data: " + EVENT + b"\n\n"
        begin = time.perf_counter()
        for number in range(EVENTS):
            self.transport.write(b"%x\r\n%s\r\n" % (len(event), event))
            await asyncio.sleep(max(0.0, begin + number * pace_s - time.perf_counter()))
        self.transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


class Connection(asyncio.Protocol):
    """One connection of a client, which waits for the end of each answer."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport

    def ask(self, path: str, body: bytes, is_over: Callable[[bytes], bool]) -> asyncio.Future[bytes]:
        """Send a request; the future is the answer."""
        self.answer, self.is_over = b"", is_over
        self.over: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return self.over

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self.answer += data
        if self.is_over(self.answer):
            self.over.set_result(self.answer)


def is_whole(answer: bytes) -> bool:
    """Return whether an answer with a length is here."""
    head, found, body = answer.partition(b"\r\n\r\n")
    return bool(found) and len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0])


def request(**more: object) -> bytes:
    """Return the body of a request, of the size of a short conversation."""
    messages = [{"role": "user", "content": "Tell me of the sea. " * 20}]
    return json.dumps({"model": MODEL, "messages": messages, **more}).encode()


async def connected(url: str) -> Connection:
    """Return an open connection."""
    at = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, at.hostname, at.port)
    return connection


async def latencies(url: str, count: int) -> list[float]:
    """Return the seconds that each of some requests took, one after the other."""
    connection, body, took = await connected(url), request(), []
    for _ in range(count):
        begin = time.perf_counter()
        answer = await connection.ask("/v1/chat/completions", body, is_whole)
        took.append(time.perf_counter() - begin)
        assert b" 200 " in answer[:20], answer
    connection.transport.close()
    return took


async def rate(url: str, count: int) -> float:
    """Return requests a second of 16 clients."""
    connections, body = [await connected(url) for _ in range(CLIENTS)], request()

    async def client(connection: Connection) -> None:
        for _ in range(count // CLIENTS):
            await connection.ask("/v1/chat/completions", body, is_whole)

    begin = time.perf_counter()
    await asyncio.gather(*[client(connection) for connection in connections])
    took_s = time.perf_counter() - begin
    for connection in connections:
        connection.transport.close()
    return count // CLIENTS * CLIENTS / took_s


async def streams(url: str, **more: object) -> float:
    """Return events a second over 16 streams."""
    connections, body = [await connected(url) for _ in range(CLIENTS)], request(stream=True, **more)
    asks = [
        one.ask("/v1/chat/completions", body, lambda answer: answer.endswith(b"\r\n0\r\n\r\n")) for one in connections
    ]
    begin = time.perf_counter()
    answers = await asyncio.gather(*asks)
    took_s = time.perf_counter() - begin
    assert all(answer.count(b'"created"') == EVENTS for answer in answers)
    for connection in connections:
        connection.transport.close()
    return CLIENTS * EVENTS / took_s


async def compare(direct: str, door: str, rounds: int, count: int) -> None:
    """Measure both in turns and print the medians."""
    took: dict[str, list[list[float]]] = {direct: [], door: []}
    rates: dict[str, dict[str, list[float]]] = {}
    kinds: dict[str, Callable[[str], Coroutine[Any, Any, float]]] = {
        "requests a second": lambda url: rate(url, count),
        "paced events a second": lambda url: streams(url, paced=True),
        "events a second": streams,
    }
    for number in range(rounds + 1):
        for url in (direct, door) if number % 2 else (door, direct):
            found = await latencies(url, count)
            measured = {name: await ask(url) for name, ask in kinds.items()}
            if number:
                took[url].append(found)
                for name, value in measured.items():
                    rates.setdefault(name, {}).setdefault(url, []).append(value)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ms = {url: [sorted(one)[int(len(one) * share)] * 1000 for one in of_url] for url, of_url in took.items()}
        added = [ours - theirs for ours, theirs in zip(ms[door], ms[direct], strict=True)]
        middle = statistics.median(added)
        print(f"{name}: direct {statistics.median(ms[direct]):.2f} ms, door {statistics.median(ms[door]):.2f} ms,"
              f" added {middle:.2f} ms ({min(added):.2f} to {max(added):.2f})")  # fmt: skip
    for name, by_url in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(by_url[door], by_url[direct], strict=True)]
        print(f"{name}: direct {statistics.median(by_url[direct]):.0f}, door {statistics.median(by_url[door]):.0f},"
              f" ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")  # fmt: skip


def serve_engine() -> None:
    """Be the engine, and print its URL."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", 0)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()

    asyncio.run(serve())


def serve_door(base: str, engine: str) -> None:
    """Serve an empty library before the engine, and print the URL."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.names import ModelName
    from modelshelf.domain.serving import Endpoint, Served
    from modelshelf.server.app import create_app
    from modelshelf.server.gateway.ports import NoEngines
    from modelshelf.server.uvicorn_server import serve
    from modelshelf.settings import load_settings

    class OneEngine(NoEngines):
        """A pool whose engine is always ready."""

        @contextlib.asynccontextmanager
        async def use(
            self, model_name: str, endpoint: Endpoint, *rest: object, **more: object
        ) -> AsyncIterator[Served]:
            """Give it."""
            yield Served(ModelName(model_name), "bench", engine, "/m.gguf", "key")

    with open_shelf(settings=load_settings(environ={"PRIMARY_CACHE_PATH": base, "HOME": base})) as shelf:
        app = create_app(shelf, host="127.0.0.1", api_key=None, engines=OneEngine())
        serve(app, host="127.0.0.1", port=0, log_level="warning", announce=lambda url: print(url, flush=True))


@contextlib.contextmanager
def run(*words: str) -> Iterator[str]:
    """Run this file as a process of its own that serves; gives its URL."""
    with subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child.stdout.readline().strip() if child.stdout else ""
        finally:
            child.terminate()


def main() -> None:
    """Run the comparison, or, with --serve-…, what it measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--requests", type=int, default=1000, help="requests of each kind in a round (1000)")
    parser.add_argument("--serve-engine", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve-door", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve_engine:
        serve_engine()
        return
    if args.serve_door:
        serve_door(*args.serve_door)
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="modelshelf-bench-"))
        engine = stack.enter_context(run("--serve-engine"))
        door = stack.enter_context(run("--serve-door", folder, engine))
        asyncio.run(compare(engine, door, args.rounds, args.requests))


if __name__ == "__main__":
    main()
