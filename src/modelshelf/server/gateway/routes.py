"""`/v1`: OpenAI's protocol over the models of the library."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from modelshelf.domain.serving import Endpoint
from modelshelf.errors import NotFound, ShelfError
from modelshelf.schemas.openai import OpenAiErrorJson, OpenAiModelJson, OpenAiModelsJson
from modelshelf.server.answers import Json
from modelshelf.server.gateway.asked import parse_asked
from modelshelf.server.gateway.errors import headers_of, openai_error
from modelshelf.server.gateway.openai import OpenAi
from modelshelf.server.gateway.relay import Door, Relay
from modelshelf.server.openapi import Responses, answers

_SENTENCES = {
    Endpoint.CHAT: "Answer a conversation.",
    Endpoint.COMPLETIONS: "Go on with a text.",
    Endpoint.EMBEDDINGS: "Turn texts into vectors.",
    Endpoint.RESPONSES: "Answer in the form of OpenAI's newer protocol.",
    Endpoint.RERANK: "Sort documents by how well they fit a question.",
    Endpoint.TOKENIZE: "Return the tokens of a text, where the engine can.",
}
_STREAMED = {Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.RESPONSES}
_MORE = """

The fields are those of OpenAI's API, as far as the model's engine takes them. The model is loaded if it isn't yet;
`keep_alive` says for how long it then stays."""
_FIELDS: dict[str, Any] = {
    "model": {"type": "string", "description": "A model's name, its repository, or either with `:QUANT`."},
    "keep_alive": {
        "anyOf": [{"type": "number"}, {"type": "string"}],
        "description": "Seconds, or a duration such as `5m`, after which the idle model is unloaded; -1: never.",
    },
}
_STREAM = {"stream": {"type": "boolean", "description": "Whether the answer comes piece by piece."}}
_ANY = {"schema": {"type": "object", "description": "What the engine answers, with the model's name as it was asked."}}
_EVENTS = {"schema": {"type": "string", "description": "Server-sent events, the last of which is `data: [DONE]`."}}
_NAME = {"name": "model", "in": "path", "required": True, "description": "A model's name, or its repository."}


class _PlainRoute(APIRoute):
    """A route whose endpoint is handed the request as it is and returns the response: nothing is parsed or checked."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint, with errors in OpenAI's shape."""
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            try:
                answer: Response = await endpoint(request)
            except ShelfError as err:
                return Json(openai_error(err), err.status, headers_of(err))
            return answer

        return handle


def create_router(door: Door) -> APIRouter:
    """Return the routes.

    Args:
        door: What carries requests to engines.
    """
    router = APIRouter(prefix="/v1", tags=["engines"], route_class=_PlainRoute)
    for endpoint in Endpoint:
        router.add_api_route(
            f"/{endpoint.value}",
            _relaying(door, endpoint),
            methods=["POST"],
            name=endpoint.name.lower(),
            response_model=None,
            description=_SENTENCES[endpoint] + _MORE,
            responses=_answered(streams=endpoint in _STREAMED),
            openapi_extra=_body(streams=endpoint in _STREAMED),
        )
    _add_models(router, door)
    return router


def _relaying(door: Door, endpoint: Endpoint) -> Callable[[Request], Awaitable[Any]]:
    async def relay(request: Request) -> Relay:
        asked = parse_asked(await request.body())
        return Relay(door, asked, endpoint, OpenAi(asked.model), who_asks(request))

    return relay


def who_asks(request: Request) -> str:
    """Return who makes a request, for a fair share: a key that nobody can turn back, or else an address."""
    given = request.headers.get("authorization") or request.headers.get("x-api-key")
    if given:
        return hashlib.sha256(given.encode()).hexdigest()[:16]
    return request.client.host if request.client else ""


def _add_models(router: APIRouter, door: Door) -> None:
    library = door.names.library

    @router.get("/models", responses=answers(OpenAiModelsJson, "The models.") | refusals())
    async def models(request: Request) -> Json:
        """List the models that are whole."""
        rows = await to_thread.run_sync(library.reader.models)
        return Json(OpenAiModelsJson([OpenAiModelJson.of(row) for row in rows if row.complete]))

    @router.get(
        "/models/{model:path}",
        responses=answers(OpenAiModelJson, "The model.") | refusals(404),
        openapi_extra={"parameters": [_NAME | {"schema": {"type": "string"}}]},
    )
    async def model(request: Request) -> Json:
        """Show a model.

        The `id` is the name that was asked for.
        """
        asked = str(request.path_params["model"])
        row = await to_thread.run_sync(library.row, await door.names.find(asked))
        if not row.complete:
            raise NotFound(f"{asked} isn't whole yet.", hint=f"shelf show {row.model_name}", model_name=asked)
        return Json(OpenAiModelJson(asked, int(row.created_at), OpenAiModelJson.of(row).owned_by))


def refusals(*statuses: int) -> Responses:
    """Return the description of errors in OpenAI's shape, beside those that any route has.

    Args:
        statuses: Further HTTP statuses.
    """
    described: Responses = {}
    for status in (400, 401, 403, 503, *statuses):
        described |= answers(OpenAiErrorJson, f"{HTTPStatus(status).phrase}.", status)
    return described


def _answered(*, streams: bool) -> Responses:
    content = {"application/json": _ANY} | ({"text/event-stream": _EVENTS} if streams else {})
    return {200: {"description": "The answer.", "content": content}} | refusals(404, 409, 413, 429)


def _body(*, streams: bool) -> dict[str, Any]:
    fields = _FIELDS | (_STREAM if streams else {})
    schema = {"type": "object", "required": ["model"], "properties": fields, "additionalProperties": True}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
