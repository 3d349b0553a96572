"""`/hf`: the Hub's protocol, so that HF_ENDPOINT=http://host:8000/hf serves the models on the tiers.

Ids and revisions are percent-quoted and Starlette decodes before it routes, so one route takes all, and
`paths.parse_path` reads the raw path. The answers' content: `bodies`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response

from modelshelf.domain import lfs
from modelshelf.domain.outside import parse_json
from modelshelf.errors import BadInput, Denied, NotFound, ShelfError, Unavailable
from modelshelf.server.errors import header_line, retry_after
from modelshelf.server.hub import bodies
from modelshelf.server.hub.following import Following
from modelshelf.server.hub.paths import PREFIX, HubPath, has_etag, parse_path, parse_range
from modelshelf.server.hub.sendfile import FileSlice
from modelshelf.server.security import hub_token
from modelshelf.services.mirror.contents import Contents, ServedFile
from modelshelf.services.mirror.face import Face
from modelshelf.services.mirror.repositories import ResolvedRevision
from modelshelf.store.unnoticed import open_unnoticed

_BODY_LIMIT_BYTES = 4 << 20
_PLAIN_HTTP_LIMIT_BYTES = 50 * 10**9
_PAGE = 1000
"""Most entries on one page of a list, as on the Hub."""


def create_router(face: Face) -> APIRouter:
    """Return the routes of the hub face, below `/hf`.

    **Concurrency:** look-ups run in threads, because a disk may sleep; the event loop sends bytes. Middleware around
    these routes must be plain ASGI: Starlette's BaseHTTPMiddleware and GZipMiddleware drop zero-copy messages.
    """
    router = APIRouter(prefix=PREFIX)

    def read(request: Request) -> Response:
        return _Answers(face.for_caller(hub_token(request.scope))).answer(request)

    async def ask(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_LIMIT_BYTES:
                return _error(413, "The body is too large.")
        return await run_in_threadpool(_Answers(face.for_caller(hub_token(request.scope))).answer, request, body)

    router.add_api_route("/{rest:path}", read, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)
    router.add_api_route("/{rest:path}", ask, methods=["POST"], include_in_schema=False, response_model=None)
    return router


class _Answers:
    """One method for each kind of question, for one caller."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._kinds: dict[tuple[str, str], Callable[[HubPath, Request, bytes], Response]] = {
            ("GET", "whoami"): self._whoami,
            ("GET", "models"): self._models,
            ("GET", "info"): self._info,
            ("GET", "auth-check"): self._auth_check,
            ("GET", "refs"): self._refs,
            ("GET", "commits"): self._commits,
            ("GET", "tree"): self._tree,
            ("GET", "resolve"): self._resolve,
            ("GET", "raw"): self._raw,
            ("GET", "manifest"): self._manifest,
            ("POST", "paths-info"): self._paths_info,
        }

    def answer(self, request: Request, body: bytes = b"") -> Response:
        asked = parse_path(_raw_rest(request))
        if asked is not None and asked.kind == "other-type":
            missing = f"There are no {asked.path} here: this server has models only."
            return _error(404, missing, {"X-Error-Code": "RepoNotFound"})
        method = "GET" if request.method == "HEAD" else request.method
        kind = self._kinds.get((method, asked.kind)) if asked else None
        if asked is None or kind is None:
            return _error(404, "The Hub has no such route.")
        try:
            return kind(asked, request, body)
        except NotFound as err:
            return _not_found(err)
        except ShelfError as err:
            # A listed file that isn't here is 409: huggingface_hub asks six times after a 503, and takes
            # 404 for "doesn't exist".
            return _refusal(err)
        except OSError as err:
            # Never 404: clients remember that a file doesn't exist.
            return _error(503, f"The disk cannot be read: {os.strerror(err.errno or 0)}.")

    def _whoami(self, asked: HubPath, request: Request, body: bytes) -> Response:
        """Name the user of a token that the gate accepted: doctor and `hf auth whoami` ask whether it is valid."""
        if "authorization" not in request.headers:
            return _error(401, "This server has no users.")
        return JSONResponse(bodies.whoami())

    def _models(self, asked: HubPath, request: Request, body: bytes) -> Response:
        """List the models here, one page at a time, for `HfApi.list_models` and the JS client's `listModels`."""
        query = request.query_params
        words, author = query.get("search", "").lower().split(), query.get("author", "").lower()
        ids = [repo_id for repo_id in self._face.repo_ids() if all(word in repo_id.lower() for word in words)]
        ids = [repo_id for repo_id in ids if author in ("", repo_id.lower().partition("/")[0])]
        first, count = _number(query.get("cursor"), 0), _page_size(request)
        is_full = _flag(request, "full") or "siblings" in query.getlist("expand") + query.getlist("expand[]")
        page = [self._sidecar(repo_id, is_full=is_full) for repo_id in ids[first : first + count]]
        return JSONResponse(page, headers=_next_page(request, first + count, len(ids)))

    def _sidecar(self, repo_id: str, *, is_full: bool) -> dict[str, Any]:
        try:
            found = self._face.here.resolve(repo_id)
        except (NotFound, Unavailable):
            return bodies.sidecar(repo_id, None)
        if is_full:
            return bodies.info(found, self._face.here.contents(found), with_blobs=False)
        return bodies.sidecar(repo_id, found)

    def _info(self, asked: HubPath, request: Request, body: bytes) -> Response:
        found, contents = self._contents(asked, request)
        return JSONResponse(bodies.info(found, contents, with_blobs=_flag(request, "blobs")))

    def _auth_check(self, asked: HubPath, request: Request, body: bytes) -> Response:
        """Say that any client that passed the gate may read a repository here."""
        self._face.refs(asked.repo_id)
        return JSONResponse({})

    def _refs(self, asked: HubPath, request: Request, body: bytes) -> Response:
        return JSONResponse(bodies.refs(self._face.refs(asked.repo_id)))

    def _commits(self, asked: HubPath, request: Request, body: bytes) -> Response:
        found = self._face.resolve(asked.repo_id, asked.revision)
        return JSONResponse(bodies.commits(found), headers={"X-Total-Count": "1"})

    def _tree(self, asked: HubPath, request: Request, body: bytes) -> Response:
        found, contents = self._contents(asked, request)
        prefix = f"{asked.path}/" if asked.path else ""
        below = [path for path in contents.paths if path.startswith(prefix)]
        if not below:
            raise NotFound(f"There is no folder {asked.path!r}.", error_code="EntryNotFound")
        if not _flag(request, "recursive"):
            below = [path for path in below if "/" not in path.removeprefix(prefix)]
        headers: dict[str, str] = {"X-Repo-Commit": found.commit_hash}
        first, count = 0, len(below)
        if not _is_llama_cpp(request):  # it takes the first page for all
            first, count = _number(request.query_params.get("cursor"), 0), _page_size(request)
            headers |= _next_page(request, first + count, len(below))
        page = bodies.tree(found, contents, below[first : first + count], expand=_flag(request, "expand"))
        return JSONResponse(page, headers=headers)

    def _paths_info(self, asked: HubPath, request: Request, body: bytes) -> Response:
        try:
            paths, expand = _asked_paths(request, body)
        except (BadInput, ValueError, KeyError, TypeError):
            return _error(400, "The body must name paths.")
        found = self._face.resolve(asked.repo_id, asked.revision)
        # The JS client takes a xetHash for a blob's name; no client keeps this answer as a list.
        contents = Contents(self._face.contents(found).files, whole=True)
        answer = bodies.tree(found, contents, paths, expand=expand)
        return JSONResponse(answer, headers={"X-Repo-Commit": found.commit_hash})

    def _contents(self, asked: HubPath, request: Request) -> tuple[ResolvedRevision, Contents]:
        """Return the files of a commit: all of them, or for llama.cpp only those that are here.

        It chooses among the files by itself, keeps no list, and can't use a file that is elsewhere.
        """
        found = self._face.resolve(asked.repo_id, asked.revision)
        if _is_llama_cpp(request):
            return found, Contents(self._face.files_to_give(found), whole=True)
        return found, self._face.contents(found)

    def _manifest(self, asked: HubPath, request: Request, body: bytes) -> Response:
        found = self._face.resolve(asked.repo_id)
        files = self._face.files_to_give(found)
        file = bodies.choose_gguf(files, asked.path)
        if file is None:
            raise NotFound(f"No GGUF of {found.repo_id} here is {asked.path!r}.", error_code="EntryNotFound")
        return JSONResponse(bodies.manifest(found, file, bodies.choose_projector(files)))

    def _raw(self, asked: HubPath, request: Request, body: bytes) -> Response:
        """Answer with git's content: an LFS file's pointer, which is known without its bytes, or the file."""
        found = self._face.entry(asked.repo_id, asked.revision, asked.path)
        if not found.is_lfs:
            return self._resolve(asked, request, body)
        text = lfs.pointer(found.etag, found.size_bytes)
        headers = {"X-Repo-Commit": found.commit_hash, "ETag": f'"{lfs.git_digest(text)}"'}
        return Response(text, headers={**headers, "Content-Type": "text/plain; charset=utf-8"})

    def _resolve(self, asked: HubPath, request: Request, body: bytes) -> Response:
        found = self._face.file(asked.repo_id, asked.revision, asked.path)
        headers = bodies.file_headers(found, asked.revision)
        if has_etag(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if request.method == "HEAD":
            return _head(found, headers, request)
        span = None
        if request.headers.get("if-range") in (None, headers["ETag"]) and not self._face.was_damaged(found.etag):
            span = parse_range(request.headers.get("range"), found.size_bytes)
        if span is not None and not span:
            headers["Content-Range"] = f"bytes */{found.size_bytes}"
            return Response(status_code=416, headers=headers)
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{found.size_bytes}"
        status, span = (200, range(found.size_bytes)) if span is None else (206, span)
        if found.disk_path is None:
            arrival = self._face.follow(asked.repo_id, asked.revision, found)
            return Following(arrival, span, status_code=status, headers=headers, refuse=_refusal)
        file = open(found.disk_path, "rb", buffering=0, opener=_no_follow)  # noqa: SIM115 - see the opener
        return FileSlice(file, span.start, len(span), status_code=status, headers=headers)


def _no_follow(path: str, flags: int) -> int:
    """Open without following a link: the look-up has followed all, and one that appeared since is an attack.

    The request is recorded as a use; the file's access time stays for what other programs read.
    """
    return open_unnoticed(path, flags | os.O_NOFOLLOW)


def _head(found: ServedFile, headers: dict[str, str], request: Request) -> Response:
    """Return the headers of the whole file.

    huggingface_hub refuses files above 50 GB by plain HTTP if HEAD tells their size; it takes the size from
    GET just as well. So HEAD leaves it out, only for that client and those files.
    """
    response = Response(headers={**headers, "Content-Length": str(found.size_bytes)})
    if found.size_bytes > _PLAIN_HTTP_LIMIT_BYTES and "hf_hub/" in request.headers.get("user-agent", ""):
        del response.headers["Content-Length"]
        del response.headers["X-Linked-Size"]
    return response


def _asked_paths(request: Request, body: bytes) -> tuple[list[str], bool]:
    """Return the paths in a question, a form or JSON, and whether it wants the last commits.

    Raises:
        BadInput, ValueError, KeyError, TypeError: It is invalid.
    """
    text = body.decode()
    if request.headers.get("content-type", "").startswith("application/json"):
        asked = parse_json(text)
        if not isinstance(asked, dict):
            raise TypeError
        paths, expand = asked["paths"], asked.get("expand") is True
    else:
        form = parse_qs(text)
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() in ("1", "true")
    named = [paths] if isinstance(paths, str) else paths
    return list(dict.fromkeys(str(path).rstrip("/") for path in named)), expand


def _is_llama_cpp(request: Request) -> bool:
    return request.headers.get("user-agent", "").startswith("llama-cpp")


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else default


def _page_size(request: Request) -> int:
    return min(_number(request.query_params.get("limit"), _PAGE), _PAGE)


def _next_page(request: Request, end: int, count: int) -> dict[str, str]:
    """Return the header that says where a list goes on after so many of its entries; nothing at its end.

    Source: huggingface_hub `utils/_pagination.py` follows `rel="next"`, as the Hub gives it.
    """
    if end >= count or not _page_size(request):
        return {}
    rest = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return {"Link": f'<{request.url.replace(query="")}?{urlencode([*rest, ("cursor", end)])}>; rel="next"'}


def _raw_rest(request: Request) -> str:
    """Return the raw path below the prefix, still quoted."""
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


def _refusal(err: ShelfError) -> Response:
    """Return the answer that says why a request can't be answered now; a hub that refuses calls it gated."""
    headers = {"X-Error-Code": "GatedRepo"} if isinstance(err, Denied) and "hf_path" in err.fields else {}
    return _error(err.status, f"{err.detail} {err.hint}".rstrip(), headers | retry_after(err))


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, {**(headers or {}), "X-Error-Message": header_line(message)})
