"""What the door adds to an engine: latency, requests a second at 16 clients, and streams, in one run.

    python bench/door.py [--rounds 5] [--requests 1000] [--litellm build/litellm/bin/litellm]

The engine is a program that answers at once from bytes that it has ready. The same client asks it directly, through
`shelf serve`, a bare door and, where it is named, LiteLLM's proxy, in turns, over connections that stay open; the first
round is thrown away. The bare door is the bound of ours: uvicorn and aiohttp, as we run them, and nothing between. The
streams are 16 of 200 events each: paced, an event in 5 ms, and as fast as they go. For the proxy:
python -m venv build/litellm && build/litellm/bin/pip install 'litellm[proxy]'
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import uvicorn

import _measure
import look

CLIENTS, EVENTS, PACE_S = 16, 200, 0.005
MODEL = "model-0000"
MESSAGE = {"role": "assistant", "content": "word " * 100}
REPLY = json.dumps(
    {"id": "c", "object": "chat.completion", "model": "/m.gguf", "created": 1,
     "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
     "usage": {"prompt_tokens": 1, "completion_tokens": 100, "total_tokens": 101}}
).encode()  # fmt: skip
PARTS = [
    json.dumps({"choices": [{"index": 0, "delta": {"content": f" w{number}"}}], "created": 1, "id": "c" * 32,
                "model": "/m.gguf", "object": "chat.completion.chunk"}).encode()
    for number in range(EVENTS)
]  # fmt: skip


class Engine(asyncio.Protocol):
    """One connection of the engine."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole."""
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split()
        if not found or (length and len(body) < int(length[0])):
            return
        self.data = b""
        if b'"stream":true' in body.replace(b" ", b""):
            pace_s = PACE_S if b"paced" in body else 0.0
            self.task = asyncio.create_task(self.stream(pace_s))
        else:
            kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            self.transport.write(kind + b"%d\r\n\r\n" % len(REPLY) + REPLY)

    async def stream(self, pace_s: float) -> None:
        """Send events."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.transport.write(head)
        begin = time.perf_counter()
        for number, part in enumerate(PARTS):
            event = b"data: " + part + b"\n\n"
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


def request(text: str = "", **more: object) -> bytes:
    """Return the body of a request, of the size of a short conversation."""
    messages = [{"role": "user", "content": f"{text} Tell me of the sea. " * 20}]
    return json.dumps({"model": MODEL, "messages": messages, **more}).encode()


async def connected(url: str) -> Connection:
    """Return an open connection."""
    at = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, at.hostname or "", at.port or 80)
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


async def streams(url: str, text: str = "") -> float:
    """Return events a second over 16 streams."""
    connections, body = [await connected(url) for _ in range(CLIENTS)], request(text, stream=True)
    asks = [
        one.ask("/v1/chat/completions", body, lambda answer: answer.endswith(b"\r\n0\r\n\r\n")) for one in connections
    ]
    begin = time.perf_counter()
    answers = await asyncio.gather(*asks)
    took_s = time.perf_counter() - begin
    assert all(answer.count(b'" w') == EVENTS for answer in answers), answers[0][:1000]
    for connection in connections:
        connection.transport.close()
    return CLIENTS * EVENTS / took_s


AIM_ADDED_MS = {"p50": 0.4, "p99": 3.0}
AIM_RATE, AIM_PACED = 2000, 0.98
Rates = dict[str, dict[str, list[float]]]
KINDS = ("requests a second", "paced events a second", "events a second")


async def compare(direct: str, doors: Mapping[str, str], rounds: int, count: int) -> None:
    """Measure all in turns and print the medians."""
    urls = {"direct": direct, **doors}
    took: dict[str, list[list[float]]] = {name: [] for name in urls}
    rates: Rates = {kind: {name: [] for name in urls} for kind in KINDS}
    for number in range(rounds + 1):
        for name, url in urls.items() if number % 2 else reversed(urls.items()):
            found = await latencies(url, count)
            measured = [await rate(url, count), await streams(url, "paced"), await streams(url)]
            if number:
                took[name].append(found)
                for kind, value in zip(KINDS, measured, strict=True):
                    rates[kind][name].append(value)
    for name in doors:
        report(name, took["direct"], took[name], rates)


def report(name: str, direct: list[list[float]], door: list[list[float]], rates: Rates) -> None:
    """Print what one door adds; the aims are ours."""
    met = {True: "reached", False: "missed"}
    print(f"\n{name}")
    for what, share in (("p50", 0.5), ("p99", 0.99)):
        theirs, ours = ([sorted(one)[int(len(one) * share)] * 1000 for one in each] for each in (direct, door))
        added = [one - other for one, other in zip(ours, theirs, strict=True)]
        print(f"  {what}: direct {statistics.median(theirs):.2f} ms, door {statistics.median(ours):.2f} ms,"
              f" added {statistics.median(added):.2f} ms ({min(added):.2f} to {max(added):.2f});"
              f" aim {AIM_ADDED_MS[what]:g} ms: {met[statistics.median(added) <= AIM_ADDED_MS[what]]}")  # fmt: skip
    for kind, of in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(of[name], of["direct"], strict=True)]
        print(f"  {kind}: direct {statistics.median(of['direct']):.0f}, door {statistics.median(of[name]):.0f},"
              f" ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")  # fmt: skip
    a_second, paced = (rates[kind] for kind in KINDS[:2])
    rate, ratio = statistics.median(a_second[name]), statistics.median(paced[name]) / statistics.median(paced["direct"])
    print(f"  aim {AIM_RATE} requests a second: {met[rate >= AIM_RATE]}; aim {AIM_PACED} of direct in paced streams:"
          f" {met[ratio >= AIM_PACED]}")  # fmt: skip


def serve_engine() -> None:
    """Be the engine, and print its URL."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", 0)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()

    asyncio.run(serve())


def serve_bare(upstream: str) -> None:
    """Be a door that only passes bytes on, and print its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sessions: list[aiohttp.ClientSession] = []

    async def door(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if not sessions:
            connector = aiohttp.TCPConnector(limit=0)
            sessions.append(aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()))
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        url, head = f"{upstream}{scope['path']}", {"Content-Type": "application/json"}
        async with sessions[0].post(url, headers=head, data=body) as answer:
            headers = [(name.lower(), value) for name, value in answer.raw_headers if name != b"Transfer-Encoding"]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(door, http="httptools", loop="asyncio", lifespan="off", access_log=False, log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def running(*command: str, log: Path, **more: str) -> Iterator[Callable[[str], str]]:
    """Run a program until the end; gives what waits for a line of its output that begins so."""
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=_measure.environment() | more) as child,
    ):

        def line(start: str) -> str:
            while child.poll() is None:
                for said in log.read_text().splitlines(keepends=True):
                    if said.startswith(start) and said.endswith("\n"):
                        return said
                time.sleep(0.1)
            raise SystemExit(f"{command[0]} ended:\n{log.read_text()}")

        try:
            yield line
        finally:
            child.terminate()


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[str]:
    """Run the engine in a process of its own; gives its URL."""
    with running(sys.executable, __file__, "--serve-engine", log=folder / "engine.log") as line:
        yield line("http").strip()


@contextlib.contextmanager
def bare(folder: Path, upstream: str) -> Iterator[str]:
    """Run the bare door; gives its URL."""
    with running(sys.executable, __file__, "--serve-bare", upstream, log=folder / "bare.log") as line:
        yield line("http").strip()


@contextlib.contextmanager
def shelf(folder: Path, upstream: str) -> Iterator[str]:
    """Run a server over a library with one model, which the engine answers for; gives its URL."""
    environment = look.build(folder, 1, 2) | {"SHELF_ENGINES": f"{MODEL}=url {upstream}/v1 /m.gguf"}
    program = str(Path(sys.executable).parent / "shelf")
    with running(program, "serve", "--port", "0", log=folder / "shelf.log", **environment) as line:
        yield line("Listening on ").split()[2]


@contextlib.contextmanager
def litellm(program: str, folder: Path, upstream: str) -> Iterator[str]:
    """Run LiteLLM's proxy, with one worker and without a key, as ours runs, before the engine; gives its URL."""
    port = _measure.free_port()
    model = {"model": "openai/m", "api_base": f"{upstream}/v1", "api_key": "key"}
    config = folder / "litellm.json"
    config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": model}]}))
    environment = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with running(*command, log=folder / "litellm.log", **environment) as line:
        line("INFO:     Uvicorn running on")
        yield f"http://127.0.0.1:{port}"


def main() -> None:
    """Run the comparison, or, with --serve-engine, what it is about."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--requests", type=int, default=1000, help="requests of each kind in a round (1000)")
    parser.add_argument("--litellm", metavar="PROGRAM", help="LiteLLM's proxy, to be measured as well")
    parser.add_argument("--serve-engine", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve-bare", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve_bare:
        serve_bare(args.serve_bare)
        return
    if args.serve_engine:
        serve_engine()
        return
    with tempfile.TemporaryDirectory(prefix="modelshelf-bench-") as name, contextlib.ExitStack() as stack:
        upstream = stack.enter_context(engine(Path(name)))
        doors = {"shelf serve": stack.enter_context(shelf(Path(name), upstream))}
        doors["a bare door"] = stack.enter_context(bare(Path(name), upstream))
        if args.litellm:
            doors["LiteLLM's proxy"] = stack.enter_context(litellm(args.litellm, Path(name), upstream))
        print(_measure.machine(Path(name)), flush=True)
        asyncio.run(compare(upstream, doors, args.rounds, args.requests))


if __name__ == "__main__":
    main()
