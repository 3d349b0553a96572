"""The description of the API: one shape for every error of every route, and the key."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from modelshelf.errors import BadInput, Conflict, Denied, NotFound, OutOfSpace, ShelfError, Unavailable
from modelshelf.server.errors import Unauthorized

Responses = dict[int | str, dict[str, Any]]
_PROBLEM = {
    "title": "Problem",
    "description": "What is wrong and what to do about it (RFC 9457). An error may have further members of its own.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:modelshelf:error:… or about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, in one sentence."},
        "hint": {"type": "string", "description": "What to do about it."},
    },
}
_EXAMPLES: dict[int, ShelfError] = {
    400: BadInput("'no name' cannot name a model.", hint="Use letters, digits and . _ : + -", model_name="no name"),
    401: Unauthorized("The API key is missing.", hint="Send Authorization: Bearer KEY."),
    403: Denied("A request may not name the folder /etc/x.", hint="Set SHELF_CUSTOM_ROOTS.", path="/etc/x"),
    404: NotFound("There is no model nope.", hint="shelf ls lists them.", model_name="nope"),
    409: Conflict("tiny is pinned.", hint="Unpin it first.", model_name="tiny"),
    503: Unavailable("The hub isn't reachable.", hint="Downloaded models keep working."),
    507: OutOfSpace("Need 140.2 GB, primary has 31.0 GB of 100.0 GB.", hint="secondary has room: --to secondary"),
}
_OTHERS = {
    413: "A body has at most 1048576 bytes here.",
    422: "body.model_name: Field required.",
    500: "The server failed on this request: ValueError.",
}
_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds, where they are known."}},
}
EVERYWHERE = (400, 401, 403, 500, 503)
LOOKING = (404, 422)
CHANGING = (404, 409, 413, 422, 507)


def problems(*statuses: int) -> Responses:
    """Return the description of problem documents for FastAPI's `responses`.

    Args:
        statuses: Their HTTP statuses.
    """
    return {status: _described(status) for status in statuses}


def _described(status: int) -> dict[str, Any]:
    example = _EXAMPLES[status].to_dict() if status in _EXAMPLES else _plain(status)
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    described = {"description": str(example["title"]), "content": {"application/problem+json": content}}
    return described | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _plain(status: int) -> dict[str, object]:
    phrase = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": phrase, "status": status, "detail": _OTHERS[status]}


class Api(FastAPI):
    """FastAPI whose description has what FastAPI leaves out."""

    def openapi(self) -> dict[str, Any]:
        """Return the description."""
        described = super().openapi()
        components = described.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = _PROBLEM
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "SHELF_API_KEY"}}
        described["security"] = [{}, {"key": []}]
        return described
