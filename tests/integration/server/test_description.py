"""The API's description, from which the reference page and generated clients are made."""

from __future__ import annotations

from typing import Any

from modelshelf.server.api import requests
from modelshelf.server.app import describe
from tests.world import Server


def test_the_description_needs_no_library(server: Server) -> None:
    """The description made without a library equals the one of a running server."""
    assert describe() == server.get("/openapi.json")


def test_every_answer_and_every_field_is_described() -> None:
    """Each route has a line that says what it does, what JSON object or text it answers, and a line for each field."""
    api = describe()
    missing = [
        f"{name} {status}"
        for name, route in routes(api)
        for status, answer in route["responses"].items()
        if status < "3" and "application/json" in answer["content"] and not schema_of(answer)
    ]
    missing += [name for name, route in routes(api) if not route.get("summary") or len(route["summary"]) > 100]
    missing += [
        f"{name} {one['name']}"
        for name, route in routes(api)
        for one in route.get("parameters", [])
        if not one.get("description")
    ]
    missing += [
        f"{name} {field}"
        for name, schema in api["components"]["schemas"].items()
        for field, described in schema.get("properties", {}).items()
        if not described.get("description")
    ]

    assert missing == []


def routes(api: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return each route of a description by its name."""
    return [(f"{verb} {path}", route) for path, verbs in api["paths"].items() for verb, route in verbs.items()]


def schema_of(answer: dict[str, Any]) -> Any:
    """Return the schema of an answer, or nothing if it has none."""
    return answer["content"]["application/json"]["schema"]


def test_every_body_below_api_has_examples_that_can_be_sent() -> None:
    """A person who tries the API out finds a body for each of our requests that takes one, and the server takes it."""
    api = describe()
    taken = [schema_of(route["requestBody"]) for _, route in routes(api) if "requestBody" in route]
    names = {schema["$ref"].rpartition("/")[2] for schema in taken if "$ref" in schema}  # of others' protocols none

    assert len(names) > 10
    for name in names:
        examples = api["components"]["schemas"][name].get("examples", [])
        assert examples, name
        for example in examples:
            getattr(requests, name).model_validate(example)
