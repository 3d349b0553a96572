"""`/v1`: OpenAI's protocol over the models of the library."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.domain.weight_files import is_whole
from modelshelf.errors import NotFound
from modelshelf.schemas.anthropic import AnthropicErrorJson, TokenCountJson
from modelshelf.schemas.json_object import JsonObject
from modelshelf.schemas.openai import OpenAiErrorJson, OpenAiModelJson, OpenAiModelsJson
from modelshelf.server.answers import Json
from modelshelf.server.gateway.anthropic import Count, Messages, parse_count, parse_messages
from modelshelf.server.gateway.asked import Asked, parser_of
from modelshelf.server.gateway.openai import OpenAi, ToldChat
from modelshelf.server.gateway.plain_route import PlainRoute, relaying
from modelshelf.server.gateway.relay import Door
from modelshelf.server.openapi import Responses, answers

_SENTENCES = {
    Endpoint.CHAT: "Answer a conversation.",
    Endpoint.COMPLETIONS: "Go on with a text.",
    Endpoint.EMBEDDINGS: "Turn texts into vectors.",
    Endpoint.RESPONSES: "Answer in the form of OpenAI's newer protocol.",
    Endpoint.RERANK: "Sort documents by how well they fit a question.",
    Endpoint.TOKENIZE: "Return the tokens of a text, the `prompt` or `content`, where the engine can.",
}
_STREAMED = {Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.RESPONSES}
_MORE = """

The fields are those of OpenAI's API, as far as the model's engine takes them. The model is loaded if it isn't yet;
`keep_alive` says for how long it then stays."""
_TRANSLATED = """

The request is translated for the model's engine, which speaks OpenAI's protocol: text, pictures and tools."""
BODY_FIELDS: dict[str, Any] = {
    "model": {"type": "string", "description": "A model's name, its repository, or either with `:QUANT`."},
    "keep_alive": {
        "anyOf": [{"type": "number"}, {"type": "string"}],
        "description": "Seconds, or a duration such as `5m`, after which the idle model is unloaded; -1: never.",
    },
}
_STREAM = {"stream": {"type": "boolean", "description": "Whether the answer comes piece by piece."}}
_TOLD = {
    "tell_loading": {
        "type": "boolean",
        "description": "Whether a stream tells of the load in `reasoning_content`; by default in comments.",
    }
}
ANY = {"schema": {"type": "object", "description": "What the engine answers, with the model's name as it was asked."}}
_EVENTS = {"schema": {"type": "string", "description": "Server-sent events, the last of which is `data: [DONE]`."}}
_NAME = {"name": "model", "in": "path", "required": True, "description": "A model's name, or its repository."}


def create_router(door: Door) -> APIRouter:
    """Return the routes.

    Args:
        door: What carries requests to engines.
    """
    router = APIRouter(prefix="/v1", tags=["engines"], route_class=PlainRoute)
    for endpoint in Endpoint:
        router.add_api_route(
            f"/{endpoint.value}",
            relaying(door, endpoint, parser_of(endpoint), _shape_of(endpoint)),
            methods=["POST"],
            name=endpoint.name.lower(),
            response_model=None,
            description=_SENTENCES[endpoint] + _MORE,
            responses=_answered(streams=endpoint in _STREAMED),
            openapi_extra=_body(streams=endpoint in _STREAMED, told=endpoint is Endpoint.CHAT),
        )
    _add_messages(router, door)
    _add_models(router, door)
    return router


def _add_messages(router: APIRouter, door: Door) -> None:
    """Add Anthropic's routes, whose clients ask below the same path."""
    router.add_api_route(
        "/messages",
        relaying(door, Endpoint.CHAT, parse_messages, lambda asked: Messages(asked.model)),
        methods=["POST"],
        name="messages",
        response_model=None,
        description="Answer a conversation in the form of Anthropic's Messages." + _TRANSLATED,
        responses=_answered(AnthropicErrorJson, streams=True),
        openapi_extra=_body(streams=True),
    )
    router.add_api_route(
        "/messages/count_tokens",
        relaying(door, Endpoint.TOKENIZE, parse_count, lambda asked: Count(asked.model)),
        methods=["POST"],
        name="count_tokens",
        response_model=None,
        description="Count the tokens of a conversation, without those of the model's template.",
        responses=answers(TokenCountJson, "The count.") | refusals(404, 409, 413, 429, error=AnthropicErrorJson),
        openapi_extra=_body(streams=False),
    )


def _add_models(router: APIRouter, door: Door) -> None:
    library = door.names.library

    @router.get("/models", responses=answers(OpenAiModelsJson, "The models.") | refusals())
    async def models(request: Request) -> Json:
        """List the models that are whole."""
        rows = await to_thread.run_sync(library.reader.models)
        return Json(OpenAiModelsJson([OpenAiModelJson.of(row) for row in rows if is_whole(row)]))

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
        if not is_whole(row):
            raise NotFound(f"{asked} isn't whole yet.", hint=f"shelf show {row.model_name}", model_name=asked)
        return Json(OpenAiModelJson(asked, int(row.created_at), OpenAiModelJson.of(row).owned_by))


def refusals(*statuses: int, error: type[JsonObject] = OpenAiErrorJson) -> Responses:
    """Return the description of errors in a protocol's shape, beside those that any route has.

    Args:
        statuses: Further HTTP statuses.
        error: The shape.
    """
    described: Responses = {}
    for status in (400, 401, 403, 503, *statuses):
        described |= answers(error, f"{HTTPStatus(status).phrase}.", status)
    return described


def _answered(error: type[JsonObject] = OpenAiErrorJson, *, streams: bool) -> Responses:
    content = {"application/json": ANY} | ({"text/event-stream": _EVENTS} if streams else {})
    return {200: {"description": "The answer.", "content": content}} | refusals(404, 409, 413, 429, error=error)


def _shape_of(endpoint: Endpoint) -> Callable[[Asked], OpenAi]:
    """Return what makes the form of an answer; only a conversation has a place for thoughts."""
    if endpoint is not Endpoint.CHAT:
        return lambda asked: OpenAi(asked.model)
    return lambda asked: ToldChat(asked.model) if asked.tells_loading else OpenAi(asked.model)


def _body(*, streams: bool, told: bool = False) -> dict[str, Any]:
    fields = BODY_FIELDS | (_STREAM if streams else {}) | (_TOLD if told else {})
    schema = {"type": "object", "required": ["model"], "properties": fields, "additionalProperties": True}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
