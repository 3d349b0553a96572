"""Ollama's routes: its clients are given the server's address as it is, and ask below `/api`."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from modelshelf.domain.engine_kinds import Endpoint, EngineKind
from modelshelf.domain.model_facts import ModelFacts
from modelshelf.domain.models import ModelRow
from modelshelf.domain.ports import Clock
from modelshelf.domain.weight_files import GGUF, is_whole
from modelshelf.errors import NotFound
from modelshelf.schemas.ollama import OllamaErrorJson, OllamaVersionJson
from modelshelf.server.answers import Json
from modelshelf.server.gateway.asked import Asked, model_in, object_in
from modelshelf.server.gateway.ollama import (
    Lines,
    Vectors,
    as_message,
    as_response,
    as_vector,
    as_vectors,
    parse_chat,
    parse_embed,
    parse_generate,
)
from modelshelf.server.gateway.plain_route import PlainRoute, who_asks
from modelshelf.server.gateway.relay import Door, Relay
from modelshelf.server.gateway.routes import ANY, BODY_FIELDS, refusals
from modelshelf.server.openapi import Responses, answers
from modelshelf.services.catalog.facts import facts_of
from modelshelf.units import format_count, rfc3339

_VERSION = "0.13.0"
"""The version of Ollama whose protocol this is: some clients refuse an older one."""
_CAPABILITIES = {EngineKind.GENERATE: "completion", EngineKind.EMBED: "embedding", EngineKind.RERANK: "rerank"}
"""What a model does, in Ollama's words, which has none for the last."""
_LIKE = " in the form of Ollama's protocol.\n\nAs Ollama's clients ask; see its documentation of the API."


def create_router(door: Door, clock: Clock) -> APIRouter:
    """Return the routes.

    Args:
        door: What carries requests to engines.
        clock: Time.
    """
    router = APIRouter(prefix="/api", tags=["engines"], route_class=PlainRoute)
    _add_asking(router, door, clock)
    _add_looking(router, door, clock)
    return router


def _add_asking(router: APIRouter, door: Door, clock: Clock) -> None:
    def add(path: str, says: str, endpoint: Callable[[Request], Awaitable[Any]], *, streams: bool) -> None:
        router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            name=path.strip("/"),
            response_model=None,
            description=says + _LIKE,
            responses=_answered(streams=streams),
            openapi_extra=_BODY,
        )

    for path, says, parse, wraps in (
        ("/chat", "Answer a conversation", parse_chat, as_message),
        ("/generate", "Go on with a text", parse_generate, as_response),
    ):
        add(path, says, _generating(door, clock, parse, wraps), streams=True)
    for path, wraps in (("/embed", as_vectors), ("/embeddings", as_vector)):
        add(path, "Turn texts into vectors", _embedding(door, clock, wraps), streams=False)
    add("/show", "Show a model", partial(_show, door), streams=False)


def _generating(
    door: Door,
    clock: Clock,
    parse: Callable[[bytes], Asked],
    wraps: Callable[[str, Mapping[str, Any]], dict[str, Any]],
) -> Callable[[Request], Awaitable[Any]]:
    async def answer(request: Request) -> Relay | Response:
        asked = await door.parsed(request, Endpoint.CHAT, parse)
        shape = Lines(asked.model, rfc3339(clock.now()), wraps)
        if asked.fields["messages"]:
            return Relay(door, asked, Endpoint.CHAT, shape, who_asks(request))
        name, unloads = await door.names.find(asked.model), asked.keep_alive_s == 0
        if unloads:
            with contextlib.suppress(NotFound):
                await door.engines.unload(name)
        else:
            await door.engines.load(name, asked.keep_alive_s, patient=False)
        return Response(shape.loaded(unloaded=unloads), media_type="application/json")

    return answer


def _embedding(
    door: Door, clock: Clock, wraps: Callable[[str, Mapping[str, Any]], dict[str, Any]]
) -> Callable[[Request], Awaitable[Any]]:
    async def answer(request: Request) -> Relay:
        asked = await door.parsed(request, Endpoint.EMBEDDINGS, parse_embed)
        shape = Vectors(asked.model, rfc3339(clock.now()), wraps)
        return Relay(door, asked, Endpoint.EMBEDDINGS, shape, who_asks(request))

    return answer


def _add_looking(router: APIRouter, door: Door, clock: Clock) -> None:
    library = door.names.library

    @router.get("/tags", responses=_answered(streams=False))
    async def tags(request: Request) -> Json:
        """List the models in the form of Ollama's protocol."""
        rows = await to_thread.run_sync(library.reader.models)
        return Json({"models": [_listed(row) for row in rows if is_whole(row)]})

    @router.get("/ps", responses=_answered(streams=False))
    async def ps(request: Request) -> Json:
        """List the models in memory in the form of Ollama's protocol.

        `GET /api/engines` says more.
        """
        found = []
        for status in await door.engines.engines():
            row = await to_thread.run_sync(library.reader.model, status.model_name)
            if row is not None and status.load_s is not None:
                ends_s = clock.now() + (status.unload_in_s or max(0.0, status.keep_alive_s))
                size = {"size": status.memory_bytes, "size_vram": 0, "expires_at": rfc3339(ends_s)}
                details = (await to_thread.run_sync(_shown, door, row.model_name))["details"]
                found.append(_listed(row) | size | {"details": details})
        return Json({"models": found})

    @router.get("/version", responses=answers(OllamaVersionJson, "The version.") | refusals(error=OllamaErrorJson))
    async def version(request: Request) -> Json:
        """Return the version of Ollama whose protocol is spoken here."""
        return Json(OllamaVersionJson(_VERSION))


async def _show(door: Door, request: Request) -> Json:
    asked = object_in(await request.body())
    name = await door.names.find(model_in({"model": asked.get("model") or asked.get("name")}))
    return Json(await to_thread.run_sync(_shown, door, name))


def _shown(door: Door, name: str) -> dict[str, Any]:
    library = door.names.library
    model = library.model(name)
    facts = facts_of(model, library.files(model.row))
    family = facts.architecture or ""
    info: dict[str, Any] = {"general.architecture": family, "general.parameter_count": facts.parameters}
    info[f"{family}.context_length"] = facts.context_length
    return {
        "modelfile": f"FROM {model.row.hf_path}",
        "parameters": "",
        "template": "",
        "license": facts.license or "",
        "modified_at": rfc3339(model.row.arrived_at),
        "details": _details(facts),
        "model_info": info,
        "capabilities": [_CAPABILITIES[facts.kind]],
    }


def _details(facts: ModelFacts) -> dict[str, Any]:
    family = facts.architecture or ""
    return {
        "parent_model": next(iter(facts.base_models), ""),
        "format": "gguf" if GGUF in facts.formats else next(iter(facts.formats), ""),
        "family": family,
        "families": [family] if family else [],
        "parameter_size": format_count(facts.parameters).replace(" ", "") if facts.parameters else "",
        "quantization_level": facts.quantisation or "",
    }


def _listed(row: ModelRow) -> dict[str, Any]:
    """Return a model of a list, by what the registry has of it."""
    details = {"parent_model": "", "format": row.format.lower(), "family": "", "families": []}
    return {
        "name": row.model_name,
        "model": row.model_name,
        "modified_at": rfc3339(row.arrived_at),
        "size": row.size_bytes,
        "digest": row.commit_hash or "",
        "details": details | {"parameter_size": "", "quantization_level": row.quantisation},
    }


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["model"], "properties": BODY_FIELDS}}
        },
    }
}


def _answered(*, streams: bool) -> Responses:
    lines = {"schema": {"type": "string", "description": "A line of JSON for each piece."}}
    content = {"application/json": ANY} | ({"application/x-ndjson": lines} if streams else {})
    described: Responses = {200: {"description": "The answer.", "content": content}}
    return described | refusals(404, 409, 413, 429, error=OllamaErrorJson)
