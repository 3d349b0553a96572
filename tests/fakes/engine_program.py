"""A program that speaks OpenAI's protocol as `llama-server` does, started with the same words, and fails on demand.

    LLAMA_SERVER="python tests/fakes/engine_program.py --start-s 0.5 --tokens 20"

It needs the standard library alone. Its own words:

--start-s S           takes so long until it is ready (`/health` says 503)
--crash WHEN          `starting`, `streaming` (after the second token): ends with code 3 and a last line
--hang WHEN           `starting`: never ready, reads nothing; `answering`: never answers; `stopping`: ignores SIGTERM
--port-taken          finds its port taken, says so and ends with code 1
--out-of-memory       says that memory is short while it starts and ends with code 1
--tokens N            so many tokens in an answer, unless the request has `max_tokens` (5)
--token-s S           so long for each (0)
--child               starts a child of its own in its process group
--memory-bytes N      holds so much memory
--cannot-wake         answers `/wake_up` with 500
--wishes FILE         JSON: the words that it has for a model beside these, by the model's name

As `vllm` it takes `serve MODEL --served-model-name NAME`, and with `--enable-sleep-mode` it sleeps and wakes.

`GET /fake` tells what was asked: requests, those left by their client, those running, the last body and headers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_STATES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return what the command says; words of llama-server's that mean nothing here are passed over."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--model", "--alias", "--host", "--crash", "--hang", "--wishes"):
        parser.add_argument(name, default="")
    for name, number in (("--port", 0), ("--tokens", 5), ("--memory-bytes", 0)):
        parser.add_argument(name, type=int, default=number)
    for name in ("--start-s", "--token-s"):
        parser.add_argument(name, type=float, default=0.0)
    for name in ("--port-taken", "--out-of-memory", "--child", "--embedding", "--reranking"):
        parser.add_argument(name, action="store_true")
    for name in ("--enable-sleep-mode", "--cannot-wake"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--served-model-name", dest="alias", default="")
    said = parser.parse_known_args(words)[0]
    if said.wishes:
        wishes = json.loads(Path(said.wishes).read_text(encoding="utf-8"))
        if more := wishes.get(said.alias):
            return parser.parse_known_args([*words, "--wishes", "", *more])[0]
    return said


@dataclass
class Engine:
    """One model that is answered for."""

    said: argparse.Namespace
    key: str
    ready: bool = False
    requests: int = 0
    left: int = 0
    running: int = 0
    is_asleep: bool = False
    last: dict[str, Any] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {key.lower(): text.strip() for key, _, text in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length") or 0))
                method, path, _ = first.split(" ", 2)
                await self.answer(method, path.partition("?")[0], headers, body, reader, writer)
                await writer.drain()
        writer.close()

    async def answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Answer one request."""
        if path == "/health":
            said = {"status": "ok"} if self.ready else {"error": {"message": "Loading model", "code": 503}}
            return send(writer, 200 if self.ready else 503, said)
        if self.said.enable_sleep_mode and path in ("/sleep", "/wake_up", "/is_sleeping"):
            return self.turn(path, writer)
        if path == "/fake":
            counts = {"requests": self.requests, "left": self.left, "running": self.running, "last": self.last}
            return send(writer, 200, counts)
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return send(writer, 401, {"error": {"message": "Invalid API Key", "code": 401}})
        if path == "/v1/models":
            return send(writer, 200, {"object": "list", "data": [{"id": self.said.alias, "object": "model"}]})
        try:
            asked = json.loads(body or b"{}")
        except ValueError as err:
            return send(writer, 400, {"error": {"message": str(err), "code": 400}})
        self.requests += 1
        self.running += 1
        self.last = {"path": path, "headers": headers, "body": asked}
        try:
            if self.said.hang == "answering":
                await reader.read()  # until the client leaves
                raise ConnectionResetError
            await self.generate(path, asked, reader, writer)
        except ConnectionError:
            self.left += 1
            raise
        finally:
            self.running -= 1

    def turn(self, path: str, writer: asyncio.StreamWriter) -> None:
        """Fall asleep, wake, or tell, as vLLM does; by its process's variables it must be in developer mode."""
        if os.environ.get("VLLM_SERVER_DEV_MODE") != "1":
            return send(writer, 404, {"detail": "Not Found"})
        if path == "/wake_up" and self.said.cannot_wake:
            return send(writer, 500, {"error": {"message": "CUDA error: out of memory"}})
        self.is_asleep = {"/sleep": True, "/wake_up": False}.get(path, self.is_asleep)
        return send(writer, 200, {"is_sleeping": self.is_asleep})

    async def generate(
        self, path: str, asked: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer what needs the model."""
        if self.is_asleep:
            return send(writer, 503, {"error": {"message": "The model is sleeping", "code": 503}})
        if path in ("/v1/embeddings", "/v1/rerank", "/tokenize", "/v1/tokenize"):
            return send(writer, 200, self.at_once(path, asked))
        if path not in ("/v1/chat/completions", "/v1/completions", "/v1/responses"):
            return send(writer, 404, {"error": {"message": "File Not Found", "code": 404}})
        count = int(asked.get("max_tokens") or self.said.tokens)
        usage = {"prompt_tokens": 3, "completion_tokens": count, "total_tokens": count + 3}
        if not asked.get("stream"):
            words = [token async for token in self.tokens(count, reader)]
            return send(writer, 200, self.whole(path, "".join(words), usage))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        async for token in self.tokens(count, reader):
            self.event(writer, self.part(path, token))
            await writer.drain()
        self.event(writer, self.part(path, "", "stop") | {"usage": usage})
        self.event(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")
        return None

    async def tokens(self, count: int, reader: asyncio.StreamReader) -> AsyncIterator[str]:
        """Yield the tokens of an answer; ends when the client leaves."""
        for number in range(count):
            if self.said.crash == "streaming" and number == 2:
                print("fake engine: the decoder fell over", flush=True)
                os._exit(3)
            if self.said.token_s:
                await asyncio.sleep(self.said.token_s)
            elif number % 64 == 63:
                await asyncio.sleep(0)
            if reader.at_eof():
                raise ConnectionResetError
            yield f"word{number} "

    @staticmethod
    def event(writer: asyncio.StreamWriter, said: object) -> None:
        """Write one event of a stream."""
        data = f"data: {said if isinstance(said, str) else json.dumps(said)}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def part(self, path: str, text: str, finish: str | None = None) -> dict[str, Any]:
        """Return one piece of a stream."""
        chat = path == "/v1/chat/completions"
        said = {"delta": {"content": text} if text else {}} if chat else {"text": text}
        kind = "chat.completion.chunk" if chat else "text_completion"
        return {
            "id": "fake-1",
            "object": kind,
            "created": 1,
            "model": self.said.alias,
            "choices": [{"index": 0, **said, "finish_reason": finish}],
        }

    def whole(self, path: str, text: str, usage: dict[str, int]) -> dict[str, Any]:
        """Return an answer that isn't streamed."""
        if path == "/v1/responses":
            content = [{"type": "output_text", "text": text, "annotations": []}]
            output = [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}]
            return {"id": "fake-1", "object": "response", "model": self.said.alias, "output": output}
        chat = path == "/v1/chat/completions"
        said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        return {
            "id": "fake-1",
            "object": "chat.completion" if chat else "text_completion",
            "created": 1,
            "model": self.said.alias,
            "choices": [{"index": 0, **said, "finish_reason": "stop"}],
            "usage": usage,
        }

    def at_once(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what isn't generated: embeddings, ranks, tokens."""
        if path.endswith("tokenize"):
            return {"tokens": list(range(len(str(asked.get("content", "")).split())))}
        if path == "/v1/rerank":
            results = [{"index": i, "relevance_score": 1 / (i + 1)} for i in range(len(asked.get("documents", ())))]
            return {"model": self.said.alias, "results": results}
        given = asked.get("input", "")
        texts = given if isinstance(given, list) else [given]
        data = [
            {"object": "embedding", "index": i, "embedding": [float(len(str(text))), 0.0, 1.0]}
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return {"object": "list", "model": self.said.alias, "data": data, "usage": usage}


def send(writer: asyncio.StreamWriter, status: int, said: object) -> None:
    """Write a whole answer."""
    body = json.dumps(said).encode()
    head = (
        f"HTTP/1.1 {status} {_STATES[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)


async def run(said: argparse.Namespace) -> int:
    """Serve until a signal; returns the exit code."""
    stop = asyncio.Event()
    if said.hang == "stopping":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = Engine(said, os.environ.get("LLAMA_API_KEY") or os.environ.get("VLLM_API_KEY", ""))
    held = bytearray(said.memory_bytes)
    server = await asyncio.start_server(engine.serve, "127.0.0.1", said.port)
    port = server.sockets[0].getsockname()[1]
    if said.hang == "starting":
        await stop.wait()
    print(f"fake engine: server is listening on http://127.0.0.1:{port}", flush=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), said.start_s or 0.001)
    engine.ready = True
    await stop.wait()
    return len(held) * 0


def main() -> int:
    """Do what the words say; returns the exit code."""
    said = parse(sys.argv[1:])
    print(f"fake engine: loading {said.model}", flush=True)
    if said.crash == "starting":
        time.sleep(said.start_s)
        print("fake engine: unknown model architecture: 'none'", flush=True)
        return 3
    if said.port_taken:
        print("fake engine: couldn't bind HTTP server socket, Address already in use", flush=True)
        return 1
    if said.out_of_memory:
        print("ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 99999999", flush=True)
        return 1
    if said.child:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    return asyncio.run(run(said))


if __name__ == "__main__":
    sys.exit(main())
