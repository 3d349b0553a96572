"""`/hf`: the Hub's protocol, so that HF_ENDPOINT=http://host:8000/hf serves what lies on the tiers.

Nothing here speaks of Xet, in no header and no body: a client with hf_xet would ask for tokens and leave the LAN.
Ids and revisions come percent-quoted (`refs%2Fpr%2F1`) and Starlette decodes before it routes, so one route takes all
and `parse_path` reads the raw path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response

from modelshelf.domain.names import COMMIT_HASH
from modelshelf.errors import NotFound, Unavailable
from modelshelf.server.sendfile import FileSlice
from modelshelf.services.hub_face import FoundFile, HubFace, Resolved

PREFIX = "/hf"
_BODY_LIMIT_BYTES = 4 << 20
_PLAIN_HTTP_LIMIT_BYTES = 50 * 10**9
_UNKNOWN_OID = "0" * 40
_RANGE = re.compile(r"bytes=(?:(?P<first>\d{1,19})-(?P<last>\d{1,19})?|-(?P<suffix>\d{1,19}))", re.ASCII)
_WITH_REVISION = ("tree", "paths-info", "revision")


@dataclass(frozen=True, slots=True)
class HubPath:
    """What a path of the Hub asks for, percent-decoded; nothing in it was checked."""

    kind: str
    """whoami, info, refs, tree, paths-info or resolve."""
    repo_id: str = ""
    revision: str = "main"
    path: str = ""
    """A file or folder of the repository; empty for its root."""


def parse_path(raw: str) -> HubPath | None:
    """Return what a raw path below the prefix asks for; None when the Hub has no such route.

    An id has one part or two. Two are tried first: an organisation's repository called `tree` is likelier than a bare
    id with a revision of that name.

    >>> parse_path("org/name/resolve/refs%2Fpr%2F1/sub/a%20b.txt")
    HubPath(kind='resolve', repo_id='org/name', revision='refs/pr/1', path='sub/a b.txt')
    """
    try:
        parts = raw.split("/")
        if raw == "api/whoami-v2":
            return HubPath("whoami")
        if parts[:2] == ["api", "models"]:
            return _parse_api(raw.rstrip("/").split("/")[2:])
        for length in (2, 1):
            if parts[length : length + 1] == ["resolve"]:
                revision, rest = _take_revision(parts[length + 1 :])
                if revision and rest:
                    return HubPath("resolve", _decode(parts[:length]), revision, _decode(rest))
    except UnicodeDecodeError:
        return None
    return None


def _parse_api(parts: list[str]) -> HubPath | None:
    for length in (2, 1):
        repo_id, word, rest = _decode(parts[:length]), parts[length : length + 1], parts[length + 1 :]
        if word == ["refs"] and not rest:
            return HubPath("refs", repo_id)
        if word == ["revision"] and rest:
            return HubPath("info", repo_id, _decode(rest))
        if word and word[0] in _WITH_REVISION and rest:
            revision, path = _take_revision(rest)
            return HubPath(word[0], repo_id, revision, _decode(path))
    return HubPath("info", _decode(parts)) if 1 <= len(parts) <= 2 else None


def _take_revision(parts: list[str]) -> tuple[str, list[str]]:
    """Return the revision, decoded, and the parts after it; `refs/pr/1` may come unquoted."""
    length = 3 if len(parts) > 2 and parts[0] == "refs" and parts[1] in ("pr", "convert") else 1
    return _decode(parts[:length]), parts[length:]


def _decode(parts: Iterable[str]) -> str:
    return "/".join(unquote(part, errors="strict") for part in parts)


def parse_range(header: str | None, size_bytes: int) -> range | None:
    """Return the bytes that a Range header asks for: empty when it asks past the end, None for the whole file.

    Several ranges and what is no range of bytes are answered with the whole file, as RFC 9110 allows.

    >>> parse_range("bytes=-3", 10), parse_range("bytes=10-", 10), parse_range("bytes=0-1,4-5", 10)
    (range(7, 10), range(0, 0), None)
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    if match["suffix"]:
        return range(max(0, size_bytes - int(match["suffix"])), size_bytes)
    first = int(match["first"])
    last = min(int(match["last"]), size_bytes - 1) if match["last"] else size_bytes - 1
    if match["last"] and int(match["last"]) < first:
        return None
    return range(first, last + 1) if first < size_bytes else range(0)


def create_router(face: HubFace) -> APIRouter:
    """Return the routes of the hub face, below `/hf`.

    **Concurrency:** look-ups run in threads, for a disk may sleep; the bytes go out from the event loop. What wraps
    these routes must be plain ASGI: Starlette's BaseHTTPMiddleware and GZipMiddleware drop zero-copy messages.
    """
    router = APIRouter(prefix=PREFIX)
    answers = _Answers(face)

    def read(request: Request) -> Response:
        return answers.answer(request)

    async def ask(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_LIMIT_BYTES:
                return _error(413, "The body is too large.")
        return await run_in_threadpool(answers.answer, request, body)

    router.add_api_route("/{rest:path}", read, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)
    router.add_api_route("/{rest:path}", ask, methods=["POST"], include_in_schema=False, response_model=None)
    return router


class _Answers:
    """One method for each kind of question."""

    def __init__(self, face: HubFace) -> None:
        self._face = face
        self._kinds: dict[tuple[str, str], Callable[[HubPath, Request, bytes], Response]] = {
            ("GET", "whoami"): self._whoami,
            ("GET", "info"): self._info,
            ("GET", "refs"): self._refs,
            ("GET", "tree"): self._tree,
            ("GET", "resolve"): self._resolve,
            ("POST", "paths-info"): self._paths_info,
        }

    def answer(self, request: Request, body: bytes = b"") -> Response:
        asked = parse_path(_raw_rest(request))
        method = "GET" if request.method == "HEAD" else request.method
        kind = self._kinds.get((method, asked.kind)) if asked else None
        if asked is None or kind is None:
            return _error(404, "The Hub has no such route.")
        try:
            return kind(asked, request, body)
        except NotFound as err:
            return _not_found(err)
        except Unavailable as err:
            return _error(503, err.detail)
        except OSError as err:
            # Never 404: clients remember that a file does not exist.
            return _error(503, f"The disk cannot be read: {os.strerror(err.errno or 0)}.")

    def _whoami(self, asked: HubPath, request: Request, body: bytes) -> Response:
        """Name who brings a token, which the gate has let in: doctor and `hf auth whoami` ask whether it is taken."""
        if "authorization" not in request.headers:
            return _error(401, "There are no users here.")
        return JSONResponse({"type": "user", "name": "modelshelf", "fullname": "modelshelf", "orgs": []})

    def _info(self, asked: HubPath, request: Request, body: bytes) -> Response:
        found = self._face.resolve(asked.repo_id, asked.revision)
        files = self._face.files(found.repo_id, found.commit_hash)
        return JSONResponse(_info(found, files, with_blobs=_flag(request, "blobs")))

    def _refs(self, asked: HubPath, request: Request, body: bytes) -> Response:
        answer: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
        kinds = {"refs/pr/": "pullRequests", "refs/convert/": "converts"}
        for revision, commit_hash in sorted(self._face.refs(asked.repo_id).items()):
            prefix = next((prefix for prefix in kinds if revision.startswith(prefix)), "")
            ref = revision if prefix else f"refs/heads/{revision}"  # a cache does not tell a tag from a branch
            entry = {"name": revision.removeprefix(prefix), "ref": ref, "targetCommit": commit_hash}
            answer[kinds.get(prefix, "branches")].append(entry)
        return JSONResponse(answer)

    def _tree(self, asked: HubPath, request: Request, body: bytes) -> Response:
        found, entries = self._entries(asked)
        prefix = f"{asked.path}/" if asked.path else ""
        below = [entry for path, entry in entries.items() if path.startswith(prefix)]
        if not below:
            raise NotFound(f"There is no folder {asked.path!r}.", error_code="EntryNotFound")
        if not _flag(request, "recursive"):
            below = [entry for entry in below if "/" not in entry["path"].removeprefix(prefix)]
        return JSONResponse(below, headers={"X-Repo-Commit": found.commit_hash})

    def _paths_info(self, asked: HubPath, request: Request, body: bytes) -> Response:
        try:
            text = body.decode()
            is_json = request.headers.get("content-type", "").startswith("application/json")
            paths = json.loads(text)["paths"] if is_json else parse_qs(text).get("paths", [])
            wanted = dict.fromkeys(str(path).rstrip("/") for path in ([paths] if isinstance(paths, str) else paths))
        except (ValueError, KeyError, TypeError):
            return _error(400, "The body must name paths.")
        found, entries = self._entries(asked)
        answer = [entries[path] for path in wanted if path in entries]
        return JSONResponse(answer, headers={"X-Repo-Commit": found.commit_hash})

    def _entries(self, asked: HubPath) -> tuple[Resolved, dict[str, dict[str, Any]]]:
        found = self._face.resolve(asked.repo_id, asked.revision)
        return found, _tree_entries(self._face.files(found.repo_id, found.commit_hash))

    def _resolve(self, asked: HubPath, request: Request, body: bytes) -> Response:
        found = self._face.file(asked.repo_id, asked.revision, asked.path)
        headers = _file_headers(found, asked.revision)
        if request.method == "HEAD":
            return _head(found, headers, request)
        span = None
        if request.headers.get("if-range") in (None, headers["ETag"]):
            span = parse_range(request.headers.get("range"), found.size_bytes)
        if span is not None and not span:
            headers["Content-Range"] = f"bytes */{found.size_bytes}"
            return Response(status_code=416, headers=headers)
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{found.size_bytes}"
        status, span = (200, range(found.size_bytes)) if span is None else (206, span)
        file = open(found.disk_path, "rb", buffering=0, opener=_no_follow)  # noqa: SIM115 - see the opener
        return FileSlice(file, span.start, len(span), status_code=status, headers=headers)


def _no_follow(path: str, flags: int) -> int:
    """Open without following a link: the look-up has followed every one, and one that appeared since is an attack."""
    return os.open(path, flags | os.O_NOFOLLOW)


def _head(found: FoundFile, headers: dict[str, str], request: Request) -> Response:
    """Return the headers of the whole file.

    huggingface_hub refuses files of more than 50 GB by plain HTTP when it knows their size from HEAD; it takes it from
    GET just as well. So it alone, and for those alone, is not told.
    """
    response = Response(headers={**headers, "Content-Length": str(found.size_bytes)})
    if found.size_bytes > _PLAIN_HTTP_LIMIT_BYTES and "hf_hub/" in request.headers.get("user-agent", ""):
        del response.headers["Content-Length"]
        del response.headers["X-Linked-Size"]
    return response


def _file_headers(found: FoundFile, revision: str) -> dict[str, str]:
    headers = {
        "X-Repo-Commit": found.commit_hash,
        "ETag": f'"{found.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "public, max-age=31536000, immutable" if COMMIT_HASH.fullmatch(revision) else "no-cache",
    }
    if found.is_lfs:
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(found.size_bytes)}
    return headers


def _info(found: Resolved, files: list[FoundFile], *, with_blobs: bool) -> dict[str, Any]:
    when = datetime.fromtimestamp(found.modified_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    siblings: list[dict[str, Any]] = [{"rfilename": file.path} for file in files]
    if with_blobs:
        for sibling, file in zip(siblings, files, strict=True):
            entry = _file_entry(file)
            sibling |= {"size": file.size_bytes, "blobId": entry["oid"]}
            if lfs := entry.get("lfs"):
                sibling["lfs"] = {**lfs, "sha256": lfs["oid"]}
    return {
        "_id": found.commit_hash[:24],
        "id": found.repo_id,
        "modelId": found.repo_id,
        "author": found.repo_id.split("/")[0] if "/" in found.repo_id else None,
        "sha": found.commit_hash,
        "lastModified": when,
        "createdAt": when,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": siblings,
        "usedStorage": sum({file.etag: file.size_bytes for file in files}.values()),
    }


def _tree_entries(files: list[FoundFile]) -> dict[str, dict[str, Any]]:
    """Return the files and the folders above them, by path."""
    entries = {file.path: _file_entry(file) for file in files}
    for file in files:
        parts = file.path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            entries[folder] = {"type": "directory", "oid": _UNKNOWN_OID, "size": 0, "path": folder}
    return dict(sorted(entries.items()))


def _file_entry(file: FoundFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.etag, "size": file.size_bytes, "path": file.path}
    if file.is_lfs:
        # What git holds for an LFS file is this pointer; its blob id is known without asking anybody.
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.etag}\nsize {file.size_bytes}\n"
        entry["oid"] = hashlib.sha1(b"blob %d\0%s" % (len(text), text.encode()), usedforsecurity=False).hexdigest()
        entry["lfs"] = {"oid": file.etag, "size": file.size_bytes, "pointerSize": len(text)}
    return entry


def _raw_rest(request: Request) -> str:
    """Return the path below the prefix as it came, still quoted."""
    raw: bytes | None = request.scope.get("raw_path")
    text = raw.decode("latin-1") if raw else quote(request.scope["path"])
    return text.removeprefix(quote(request.scope.get("root_path", ""))).removeprefix(f"{PREFIX}/")


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("1", "true")


def _not_found(err: NotFound) -> Response:
    headers = {"X-Error-Code": str(err.fields["error_code"])} if "error_code" in err.fields else {}
    if "commit_hash" in err.fields:
        headers["X-Repo-Commit"] = str(err.fields["commit_hash"])
    return _error(404, err.detail, headers)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    # A header is one line of ASCII, whatever was asked for.
    line = "".join(char if " " <= char <= "~" else "?" for char in message)[:400]
    return JSONResponse({"error": message}, status, headers={**(headers or {}), "X-Error-Message": line})
