"""A stock cache written by hand, and the hub face serving it on a port."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from modelshelf.server.hub.routes import create_router
from modelshelf.server.uvicorn_server import create_server, listen, url_of
from modelshelf.services.mirror.lookup import HubFace
from modelshelf.store.layout import Base
from tests.builders import digest_of
from tests.serving import Said


def add_commit(
    base: Path,
    repo_id: str,
    commit: str,
    files: Mapping[str, bytes],
    *,
    refs: tuple[str, ...] = ("main",),
    symlinks: bool = True,
    tree: bool = False,
) -> Path:
    """Lay out a commit as huggingface_hub does; return the snapshot's path."""
    repo = base / "hub" / ("models--" + repo_id.replace("/", "--"))
    snapshot = repo / "snapshots" / commit
    (repo / "blobs").mkdir(parents=True, exist_ok=True)
    listing: dict[str, Any] = {}
    for path, content in files.items():
        digest = digest_of(path, content)
        place = snapshot / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if symlinks:
            (repo / "blobs" / digest).write_bytes(content)
            place.symlink_to(Path(*[".."] * (2 + path.count("/")), "blobs", digest))
        else:
            place.write_bytes(content)
        lfs = {"lfs_sha256": digest, "lfs_size": len(content)} if len(digest) == 64 else {}
        listing[path] = {"size": len(content), "blob_id": digest if not lfs else "0" * 40, **lfs}
    for ref in refs:
        place = repo / "refs" / ref
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(commit)
    if tree:
        (repo / "trees").mkdir(exist_ok=True)
        (repo / "trees" / f"{commit}.json").write_text(json.dumps({"format_version": 1, "files": listing}))
    return snapshot


def add_sparse(base: Path, repo_id: str, commit: str, path: str, size_bytes: int) -> str:
    """Add a file that is one hole; return the digest that it claims to have."""
    repo = base / "hub" / ("models--" + repo_id.replace("/", "--"))
    digest = "5" * 64
    with (repo / "blobs" / digest).open("wb") as file:
        file.truncate(size_bytes)
    (repo / "snapshots" / commit / path).symlink_to(f"../../blobs/{digest}")
    return digest


@dataclass
class Answer:
    """A request as the application saw it, and the head of its answer."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0


@dataclass
class Recorder:
    """An ASGI wrapper that records answers and says when the application is done with each."""

    app: Any
    answers: list[Answer] = field(default_factory=list)
    done: queue.Queue[Answer] = field(default_factory=queue.Queue)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Forward everything."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = Answer(scope["method"], scope["raw_path"].decode())
        self.answers.append(answer)

        async def watch(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            self.done.put(answer)


@dataclass
class Face:
    """A running hub face."""

    url: str
    """With the prefix, as in HF_ENDPOINT."""
    recorder: Recorder
    errors: list[str]

    @property
    def address(self) -> tuple[str, int]:
        """The host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    @contextlib.contextmanager
    def connect(self) -> Iterator[http.client.HTTPConnection]:
        """Return a connection that is kept alive."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            yield connection
        finally:
            connection.close()

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers (lower case) and body of a request below the prefix."""
        with self.connect() as connection:
            return ask(connection, method, f"/hf/{path}", headers, body)

    def json(self, path: str) -> Any:
        """Return the JSON of a 200 answer."""
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Return the status, headers (lower case) and body of a request on a connection."""
    connection.request(method, path, body=body, headers=dict(headers or {}))
    response = connection.getresponse()
    content = response.read()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, content


@contextlib.contextmanager
def running(*bases: Path, **config: Any) -> Iterator[Face]:
    """Serve some bases by a hub face in a thread."""
    app = FastAPI()
    app.include_router(create_router(HubFace(lambda: [Base(base) for base in bases])))
    recorder = Recorder(app)
    server = create_server(recorder, log_level="warning")
    for name, value in config.items():
        setattr(server.config, name, value)
    complaints = Said()
    loggers = [logging.getLogger("uvicorn.error"), logging.getLogger("modelshelf"), logging.getLogger("asyncio")]
    for logger in loggers:
        logger.addHandler(complaints)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Face(f"{url_of(listener)}/hf", recorder, complaints.lines)
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            for logger in loggers:
                logger.removeHandler(complaints)
    assert not thread.is_alive()


def raw_request(path: str, *lines: str, method: str = "GET") -> bytes:
    """Return a request as bytes, without normalising it."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *lines, "", ""]).encode("latin-1")


def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """Send bytes, and return everything until the server closes."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(1 << 20):
            received += chunk
        return received
