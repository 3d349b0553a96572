"""Errors in the shapes that the clients of other protocols read."""

from __future__ import annotations

import json
from typing import Any

from modelshelf.errors import BadInput, EngineFailed, ShelfError, TooMany
from modelshelf.server.errors import Shape, retry_after

_LAST_LINES = 5
"""How many of a failed engine's last lines a message has."""
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_TYPES |= {413: "request_too_large", 429: "rate_limit_error"}


class BodyTooLong(BadInput):
    """The body of a request has more bytes than it may have."""

    title = "Content too large"
    status = 413


def message_of(err: ShelfError) -> str:
    """Return an error for a person: what is wrong, what to do, and the last words of an engine."""
    tail = err.tail[-_LAST_LINES:] if isinstance(err, EngineFailed) else ()
    said = err.detail if err.detail.endswith((".", "!", "?")) or not err.hint else f"{err.detail}."
    return "\n".join([f"{said} {err.hint}".rstrip(), *tail])


def headers_of(err: ShelfError) -> dict[str, str]:
    """Return the headers that go with an error: when to ask again, and what is asked for."""
    if isinstance(err, TooMany):
        return {"Retry-After": "1"}
    return retry_after(err) | ({"WWW-Authenticate": 'Bearer realm="modelshelf"'} if err.status == 401 else {})


def openai_error(err: ShelfError) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it.

    >>> openai_error(ShelfError("It broke."))["error"]["type"]
    'server_error'
    """
    kind = _TYPES.get(err.status, "server_error" if err.status >= 500 else "invalid_request_error")
    code = str(err.to_dict()["type"]).rpartition(":")[2].replace("-", "_")
    if err.status == 404 and "model_name" in err.fields:
        kind, code = "invalid_request_error", "model_not_found"
    error = {"message": message_of(err), "type": kind, "param": err.fields.get("param"), "code": code}
    told = err.fields.get("engine_error")
    return {"error": error | (told if isinstance(told, dict) else {})}


def anthropic_error(err: ShelfError) -> dict[str, Any]:
    """Return an error as Anthropic's clients read it.

    >>> anthropic_error(TooMany("Wait."))
    {'type': 'error', 'error': {'type': 'rate_limit_error', 'message': 'Wait.'}}
    """
    unavailable = "overloaded_error" if err.status == 503 else "api_error"
    kind = _TYPES.get(err.status, unavailable if err.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message_of(err)}}


def ollama_error(err: ShelfError) -> dict[str, Any]:
    """Return an error as Ollama's clients read it.

    >>> ollama_error(TooMany("Wait."))
    {'error': 'Wait.'}
    """
    return {"error": message_of(err)}


OLLAMA_PATHS = frozenset(
    f"/api/{name}" for name in ("chat", "generate", "embed", "embeddings", "tags", "ps", "show", "version")
)
"""Where Ollama's clients ask; no route of ours has such a path."""
_SHAPES: dict[str, Shape] = {"/v1/messages": anthropic_error, "/v1/": openai_error}
"""The shape of errors below a path; the first path that fits counts."""


def shape_of(path: str) -> Shape | None:
    """Return what shapes the errors of a path; None where they are problem documents."""
    if path in OLLAMA_PATHS:
        return ollama_error
    return next((shape for prefix, shape in _SHAPES.items() if path.startswith(prefix)), None)


def to_bytes(value: object) -> bytes:
    """Return a JSON value as bytes."""
    return json.dumps(value, separators=(",", ":")).encode()
