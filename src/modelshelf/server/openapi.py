"""The description of the API: one shape for every error of every route, and the key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Union, get_args

from fastapi import APIRouter, FastAPI
from pydantic import TypeAdapter
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from modelshelf.errors import BadInput, Conflict, Denied, NotFound, OutOfSpace, ShelfError, TooMany, Unavailable
from modelshelf.schemas.jobs import JobJson
from modelshelf.schemas.json_object import JsonObject
from modelshelf.server.errors import Unauthorized
from modelshelf.server.late_routes import LateRoutes
from modelshelf.server.request_ids import RequestIds

Responses = dict[int | str, dict[str, Any]]
_COMPONENTS = "#/components/schemas/"
_PROBLEM = {
    "title": "Problem",
    "description": "What is wrong and what to do about it (RFC 9457). An error may have further members of its own.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:modelshelf:error:… or about:blank"},
        "title": {"type": "string", "description": "What kind of error it is, in a word or two."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong, in one sentence."},
        "hint": {"type": "string", "description": "What to do about it."},
    },
}
_EXAMPLES: dict[int, ShelfError] = {
    400: BadInput("'no name' isn't a model name.", hint="Use letters, digits and . _ : + -", model_name="no name"),
    401: Unauthorized("The API key is missing.", hint="Send Authorization: Bearer KEY."),
    403: Denied("A request may not name the folder /etc/x.", hint="Set SHELF_CUSTOM_ROOTS.", path="/etc/x"),
    404: NotFound("There is no model nope.", hint="shelf ls lists them.", model_name="nope"),
    409: Conflict("tiny is pinned.", hint="Unpin it first.", model_name="tiny"),
    429: TooMany("256 requests wait for tiny already.", hint="Ask again later.", queued=256),
    503: Unavailable("The hub isn't reachable.", hint="Downloaded models keep working."),
    507: OutOfSpace("Need 140.2 GB, primary has 31.0 GB of 100.0 GB.", hint="secondary has room: --to secondary"),
}
_OTHERS = {
    413: "A body has at most 1048576 bytes here.",
    422: "body.model_name: Field required.",
    500: "The server failed on this request: ValueError.",
}
_HEADERS = {
    202: {"Location": {"schema": {"type": "string"}, "description": "Where the job is."}},
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds, where they are known."}},
}
EVERYWHERE = (400, 401, 403, 500, 503)
LOOKING = (404, 422)
NEXT = {"Link": {"schema": {"type": "string"}, "description": "The next page, where there may be one (RFC 8288)."}}
"""The header of a list in pages."""
CHANGING = (404, 409, 413, 422, 507)
TAGS = [
    {"name": "models", "description": "The models of the library."},
    {"name": "engines", "description": "Asking the models, in OpenAI's protocol."},
    {"name": "uses", "description": "What models were asked, and how well that went."},
    {"name": "cache", "description": "The tiers, and the work on all that they hold."},
    {"name": "views", "description": "The folders that other programs read."},
    {"name": "jobs", "description": "Long work, whoever asked for it."},
    {"name": "events", "description": "What changes, as it happens."},
    {"name": "health", "description": "Whether all is well, and why not."},
]


def problems(*statuses: int) -> Responses:
    """Return the description of problem documents for FastAPI's `responses`.

    Args:
        statuses: Their HTTP statuses.
    """
    return {status: _described(status) for status in statuses}


def answers(model: Any, description: str, status: int = 200) -> Responses:
    """Return the description of an answer for FastAPI's `responses`; `response_model` would slow down every start.

    Args:
        model: Its JSON object, or a `list` of such objects.
        description: What it is, in a sentence.
        status: Its HTTP status.
    """
    items = get_args(model)
    schema = {"type": "array", "items": _ref(*items)} if items else _ref(model)
    described = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {status: _with_headers(status, described)}


def planned(model: Any) -> Responses:
    """Return the description of the answer to a dry run; see `answers`."""
    return answers(model, "With `dry_run`: what would be done. Nothing was changed.")


def _ref(model: type[JsonObject]) -> dict[str, str]:
    return {"$ref": f"{_COMPONENTS}{model.__name__}"}


def _described(status: int) -> dict[str, Any]:
    example = _EXAMPLES[status].to_dict() if status in _EXAMPLES else _plain(status)
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    described = {"description": str(example["title"]), "content": {"application/problem+json": content}}
    return _with_headers(status, described)


def _with_headers(status: int, described: dict[str, Any]) -> dict[str, Any]:
    return described | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _plain(status: int) -> dict[str, object]:
    phrase = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": phrase, "status": status, "detail": _OTHERS[status]}


ACCEPTED = answers(JobJson, "The job, which goes on after the answer.", 202)


class Api(FastAPI):
    """FastAPI whose description includes what FastAPI leaves out, and whose requests have ids."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return the application; the id is outermost, so that the answer to our own failure has it too."""
        return RequestIds(super().build_middleware_stack())

    def add_routes(self, router: APIRouter) -> None:
        """Add a router's routes as they are; an included router is one that each request goes through, twice."""
        self.router.routes.extend(router.routes)

    @property
    def routes(self) -> list[BaseRoute]:
        """All routes, also those that are made late."""
        own = self.router.routes
        return [one for route in own for one in (route.router.routes if isinstance(route, LateRoutes) else (route,))]

    def openapi(self) -> dict[str, Any]:
        """Return the description."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        described = super().openapi()
        components = described.setdefault("components", {})
        components["schemas"] |= _objects_in(described) | {"Problem": _PROBLEM}
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "SHELF_API_KEY"}}
        described["security"] = [{}, {"key": []}]
        for operation in _operations(described):
            operation["responses"] = _everywhere() | operation["responses"]
            summary, _, more = operation.pop("description").partition("\n\n")
            operation["summary"] = summary.removesuffix(".")
            if more:
                operation["description"] = more
        return described


def _everywhere() -> dict[str, Any]:
    return {str(status): described for status, described in problems(*EVERYWHERE).items()}


def _objects_in(described: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of the JSON objects in a description, and of the objects in them."""
    names = set(re.findall(f'"{_COMPONENTS}(\\w+)"', json.dumps(described)))
    used = [child for child in _subclasses(JsonObject) if child.__name__ in names]
    any_of_them: Any = Union[tuple(used)]  # noqa: UP007 - as many as there are
    found = TypeAdapter(any_of_them).json_schema(mode="serialization", ref_template=_COMPONENTS + "{model}")
    schemas: dict[str, Any] = found["$defs"]
    for child in _subclasses(JsonObject):  # pydantic leaves out a field's description if the field is inherited
        for parent in child.__bases__:
            if {child.__name__, parent.__name__} <= schemas.keys():
                schemas[child.__name__]["properties"] |= schemas[parent.__name__]["properties"]
    return schemas


def _subclasses(parent: type[JsonObject]) -> Iterator[type[JsonObject]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


def _operations(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in described["paths"].values():
        yield from path.values()
