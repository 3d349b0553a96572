"""The HTTP side of the fake hub: routes, ranges, redirects and the faults on them.

**Source:** the routes, headers and error codes are those that huggingface_hub reads in `file_download.py`,
`hf_api.py` and `utils/_http.py`.
"""

from __future__ import annotations

import hmac
import io
import json
import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.fakes.hub_repos import Blob, HubState, RefusedError, Repo, Request
from tests.fakes.hub_rules import NO_FAULTS, ByteRange, Faults

_CHUNK_BYTES = 1 << 20
_STEPS_PER_S = 20
_ID = r"(?P<repo_id>[^/]+(?:/[^/]+)??)"
_ROUTES = tuple(
    (method, re.compile(pattern), action)
    for method, pattern, action in (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("GET", r"/api/models", "search"),
        ("GET", rf"/api/models/{_ID}/refs", "refs"),
        ("GET", rf"/api/models/{_ID}/tree/(?P<rest>.+)", "tree"),
        ("POST", rf"/api/models/{_ID}/paths-info/(?P<rest>.+)", "paths_info"),
        ("GET", rf"/api/models/{_ID}/revision/(?P<rest>.+)", "info"),
        ("GET", rf"/api/models/{_ID}", "info"),
        ("GET", r"/cdn/(?P<digest>[0-9a-f]+)", "cdn"),
        ("GET", rf"/{_ID}/resolve/(?P<rest>.+)", "resolve"),
    )
)


class HubServer(ThreadingHTTPServer):
    """One listening port of the hub, which knows its connections so that it can end them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, state: HubState, tls: ssl.SSLContext | None = None) -> None:
        """Listen at once on 127.0.0.1, on a free port if `port` is 0; over TLS if there is a context."""
        super().__init__(("127.0.0.1", port), HubHandler)
        self.tls = tls
        self.state = state
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._closed_one = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The origin, such as http://127.0.0.1:40123."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and remember it."""
        connection, address = super().get_request()
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._closed_one:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        super().shutdown_request(request)
        with self._closed_one:
            self._open.discard(request)
            self._closed_one.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that closed its connection."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Refuse new connections, cut the open ones and wait for their threads."""
        self.stopping.set()
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._closed_one:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side closed first
            self._closed_one.wait_for(lambda: not self._open, timeout=10)


class HubHandler(BaseHTTPRequestHandler):
    """Answer one connection, request after request."""

    protocol_version = "HTTP/1.1"
    server_version = "FakeHub"
    disable_nagle_algorithm = True
    server: HubServer

    faults: Faults = NO_FAULTS
    query: Mapping[str, list[str]]
    posted: bytes

    def _serve(self) -> None:
        state = self.server.state
        url = urlsplit(self.path)
        asked = self.headers.get("Range")
        headers = MappingProxyType({name.lower(): value for name, value in self.headers.items()})
        request = Request(self.command, unquote(url.path), headers, asked, self.path)
        state.requests.append(request)
        self.posted = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.query = parse_qs(url.query)
        self.faults = state.rules.take(self.command, request.path, ByteRange.parse(asked))
        if self.faults.delay_s and self.server.stopping.wait(self.faults.delay_s):
            raise ConnectionAbortedError("the hub was stopped")
        try:
            if self.faults.body is not None:
                self._send(self.faults.status or 200, self.faults.headers, self.faults.body)
                return
            if self.faults.status is not None:
                code, more = self.faults.error_code, self.faults.headers
                raise RefusedError(self.faults.status, "failed on demand", code, more)
            self._dispatch(url.path)
        except RefusedError as refused:
            self._refuse(refused)

    do_GET = _serve  # noqa: N815 - http.server finds its methods by these names
    do_HEAD = _serve  # noqa: N815 - the same
    do_POST = _serve  # noqa: N815 - the same

    def _dispatch(self, quoted_path: str) -> None:
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, action in _ROUTES:
            found = pattern.fullmatch(quoted_path) if wanted == method else None
            if found is None:
                continue
            parts = found.groupdict()
            new_id = self.server.state.renamed.get(unquote(parts.get("repo_id") or ""))
            if new_id is not None:
                target = self.path[: found.start("repo_id")] + new_id + self.path[found.end("repo_id") :]
                self._send(307, {"Location": target}, b"")
            else:
                getattr(self, f"_answer_{action}")(**parts)
            return
        raise RefusedError(404, f"no route for {self.command} {quoted_path}")

    def _authorized(self) -> bool:
        expected = f"Bearer {self.server.state.token}"
        return hmac.compare_digest(self.headers.get("Authorization", "").encode(), expected.encode())

    def _repo(self, quoted_id: str) -> Repo:
        return self.server.state.repo(unquote(quoted_id), self._authorized())

    def _answer_whoami(self) -> None:
        if not self._authorized():
            raise RefusedError(401, "Invalid credentials in Authorization header")
        self._send_json({"type": "user", "id": "1", "name": "tester", "fullname": "Tester", "orgs": []})

    def _answer_search(self) -> None:
        words = self.query.get("search", [""])[0].lower().split()
        repos = [repo for repo in list(self.server.state.repos.values()) if self._authorized() or not repo.private]
        found = [repo for repo in repos if all(word in repo.repo_id.lower() for word in words)]
        if self.query.get("sort") == ["downloads"]:
            found.sort(key=lambda repo: -repo.said.get("downloads", 0))
        limit = int(self.query.get("limit", ["1000"])[0])
        self._send_json([repo.found(self.query.get("expand", [])) for repo in found[:limit]])

    def _answer_refs(self, repo_id: str) -> None:
        self._send_json(self._repo(repo_id).ref_lists())

    def _answer_info(self, repo_id: str, rest: str = "main") -> None:
        repo = self._repo(repo_id)
        commit, path = repo.split(rest)
        if path:
            raise RefusedError(404, f"Invalid rev id: {unquote(rest)}", "RevisionNotFound")
        self._send_json(repo.info(commit, with_blobs=self._flag("blobs")))

    def _answer_tree(self, repo_id: str, rest: str) -> None:
        state, repo = self.server.state, self._repo(repo_id)
        commit, folder = repo.split(rest)
        if folder and folder not in commit.folders():
            message = f"{folder} does not exist on {commit.commit_hash}"
            raise RefusedError(404, message, "EntryNotFound", {"X-Repo-Commit": commit.commit_hash})
        prefix = f"{folder}/" if folder else ""
        deep = self._flag("recursive")
        entries = [
            entry
            for entry in state.entries(repo, commit, self.faults.no_size)
            if entry["path"].startswith(prefix) and (deep or "/" not in entry["path"].removeprefix(prefix))
        ]
        start = int(self.query.get("cursor", ["0"])[0])
        end = len(entries) if state.page_size is None else start + state.page_size
        headers = {"X-Repo-Commit": commit.commit_hash}
        if end < len(entries):
            query = urlencode({**self.query, "cursor": [end]}, doseq=True)
            headers["Link"] = f'<{self.server.url}{urlsplit(self.path).path}?{query}>; rel="next"'
        self._send_json(entries[start:end], headers)

    def _answer_paths_info(self, repo_id: str, rest: str) -> None:
        repo = self._repo(repo_id)
        commit, _ = repo.split(rest)
        if self.headers.get_content_type() == "application/json":
            paths = json.loads(self.posted).get("paths", [])
        else:
            paths = parse_qs(self.posted.decode()).get("paths", [])
        entries = self.server.state.entries(repo, commit, self.faults.no_size)
        self._send_json([entry for entry in entries if entry["path"] in paths])

    def _answer_resolve(self, repo_id: str, rest: str) -> None:
        repo = self._repo(repo_id)
        if repo.gated and not self._authorized():
            raise RefusedError(403, f"Access to model {repo.repo_id} is restricted", "GatedRepo")
        commit, path = repo.split(rest)
        headers = {"X-Repo-Commit": commit.commit_hash}
        blob = commit.files.get(path)
        if blob is None:
            raise RefusedError(404, "Entry not found", "EntryNotFound", headers)
        if blob.lfs or self.faults.redirect_to:
            headers["X-Linked-Etag"] = f'"{blob.digest}"'
            if not self.faults.no_size:
                headers["X-Linked-Size"] = str(blob.size_bytes)
        if self.faults.redirect_to is None:
            self._send_file(blob, headers)
            return
        place = self.faults.redirect_to.replace("{digest}", blob.digest)
        origin = self.server.state.cdn_url if place.startswith("/") else ""
        self._send(302, {**headers, "Location": origin + place}, b"")

    def _answer_cdn(self, digest: str) -> None:
        self._send_file(self.server.state.blob(digest), {})

    def _send_file(self, blob: Blob, headers: dict[str, str]) -> None:
        faults, size = self.faults, blob.size_bytes
        headers |= {"ETag": f'"{blob.digest}"', "Content-Type": "application/octet-stream"}
        if not faults.no_ranges:
            headers["Accept-Ranges"] = "bytes"
        if self.command == "HEAD":
            if not faults.no_size:
                headers["Content-Length"] = str(size)
            self._send_head(200, headers)
            return
        if faults.truncate:
            size //= 2
        status, span = 200, range(size)
        asked = None if faults.no_ranges else self._asked_range(headers["ETag"])
        if asked is not None:
            part = asked.clip(size)
            if part is None:
                raise RefusedError(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{size}"})
            status, span = 206, part
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        self._send_head(status, {**headers, "Content-Length": str(len(span))})
        if isinstance(blob.content, bytes):
            self._send_body(io.BytesIO(blob.content), span, counted=True)
        else:
            with blob.content.open("rb") as file:
                self._send_body(file, span, counted=True)

    def _asked_range(self, etag: str) -> ByteRange | None:
        if self.headers.get("If-Range") not in (None, etag):
            return None
        return ByteRange.parse(self.headers.get("Range"))

    def _flag(self, name: str) -> bool:
        return self.query.get(name, [""])[0].lower() in ("1", "true")

    def _refuse(self, refused: RefusedError) -> None:
        headers = {**refused.headers, "X-Error-Message": refused.message}
        if refused.error_code is not None:
            headers["X-Error-Code"] = refused.error_code
        self._send_json({"error": refused.message}, headers, refused.status)

    def _send_json(self, answer: object, headers: Mapping[str, str] | None = None, status: int = 200) -> None:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        self._send(status, {**kind, **(headers or {})}, json.dumps(answer).encode())

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._send_head(status, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self._send_body(io.BytesIO(body), range(len(body)), counted=False)

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name != "X-Repo-Commit" or not self.server.state.hides_commits:
                self.send_header(name, value)
        self.end_headers()

    def _send_body(self, source: BinaryIO, span: range, counted: bool) -> None:
        faults, meter = self.faults, self.server.state.meter
        rate = faults.rate_bytes_per_s
        step = _CHUNK_BYTES if rate is None else max(1, rate // _STEPS_PER_S)
        end = span.stop if faults.cut_after is None else min(span.stop, span.start + faults.cut_after)
        at = span.start
        while at < end:
            wanted = min(step, end - at)
            if rate is not None and self.server.stopping.wait(wanted / rate):
                raise ConnectionAbortedError("the hub was stopped")
            granted = meter.take(wanted) if counted else wanted
            while granted:
                written = self._write(source, at, granted)
                at, granted = at + written, granted - written
                if counted:
                    meter.add(written)
        if end < span.stop:
            self.close_connection = True

    def _write(self, source: BinaryIO, offset: int, count: int) -> int:
        bad = self.faults.corrupt_at
        damaged = bad is not None and offset <= bad < offset + count
        if not damaged and not isinstance(source, io.BytesIO):
            written = os.sendfile(self.connection.fileno(), source.fileno(), offset, count)
            if written == 0:
                raise ConnectionAbortedError("the file on disk became shorter")
            return written
        source.seek(offset)
        data = bytearray(source.read(count))
        if bad is not None and damaged:
            data[bad - offset] ^= 0xFF
        sent: int = self.connection.send(data)
        return sent

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""
