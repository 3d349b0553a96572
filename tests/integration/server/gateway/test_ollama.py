"""Ollama's protocol through the door."""

from __future__ import annotations

import json
from typing import Any

from modelshelf.errors import EngineFailed
from tests.fakes.upstream import OneEngine, Upstream
from tests.integration.server.gateway.test_openai import dechunked
from tests.serving import Reply, Serving


def ask(door: Serving, path: str, **fields: Any) -> Reply:
    """Post a request about `smol`."""
    return door.ask("POST", f"/api/{path}", json.dumps({"model": "smol", **fields}).encode())


def test_a_conversation_is_streamed_unless_it_is_not_wanted(door: Serving) -> None:
    """By default the answer comes in lines of JSON, the last of which says that it is done."""
    messages = [{"role": "user", "content": "hi"}]
    streamed, whole = ask(door, "chat", messages=messages), ask(door, "chat", messages=messages, stream=False)

    lines = [json.loads(line) for line in dechunked(streamed.body).splitlines()]
    assert [line["message"]["content"] for line in lines] == ["one", "two", ""]
    assert [line["done"] for line in lines] == [False, False, True]
    assert (streamed.headers["content-type"], lines[0]["model"]) == ("application/x-ndjson", "smol")
    assert (whole.json["done"], whole.json["message"]["role"]) == (True, "assistant")


def test_a_text_goes_on(door: Serving) -> None:
    """`/api/generate` answers with `response`."""
    assert ask(door, "generate", prompt="hi", stream=False).json["response"].startswith("she said")


def test_texts_become_vectors_in_their_order(door: Serving, engine: Upstream) -> None:
    """`/api/embed` has a list of them, and the older `/api/embeddings` one."""
    assert ask(door, "embed", input=["a", "b"]).json["embeddings"] == [[1, 2], [3, 4]]
    assert ask(door, "embeddings", prompt="a").json["embedding"] == [1, 2]
    assert [body["input"] for body in engine.bodies] == [["a", "b"], "a"]


def test_a_model_is_loaded_and_unloaded_without_a_question(door: Serving, engines: OneEngine) -> None:
    """A request without a message loads the model, and with `keep_alive` 0 it unloads it."""
    loaded = ask(door, "chat", keep_alive="10m")
    gone = ask(door, "generate", keep_alive=0)

    assert (loaded.json["done_reason"], gone.json["done_reason"]) == ("load", "unload")
    assert engines.loaded == [("smol", 600), ("smol", 0)]


def test_the_models_are_listed_and_shown(door: Serving) -> None:
    """Tags has the models that are whole, ps those in memory, and show what a model's files say."""
    tags, loaded = door.ask("GET", "/api/tags").json["models"], door.ask("GET", "/api/ps").json["models"]
    shown = ask(door, "show").json

    assert [model["name"] for model in tags] == ["smol"]
    assert [model["details"]["format"] for model in (*tags, *loaded)] == ["gguf", "gguf"]
    assert loaded[0]["details"] == shown["details"]
    assert tags[0]["details"]["quantization_level"] == shown["details"]["quantization_level"] != ""
    assert [(model["model"], model["size"]) for model in loaded] == [("smol", 7)]
    assert (shown["capabilities"], shown["details"]["format"]) == (["completion"], "gguf")
    assert door.ask("GET", "/api/version").json["version"].count(".") == 2


def test_a_field_that_the_engine_ignores_has_the_clients_name(door: Serving, engines: OneEngine) -> None:
    """A client of Ollama's protocol said `format`, so that is what it reads of."""
    engines.ignores = frozenset({"response_format"})

    reply = ask(door, "chat", messages=[{"role": "user", "content": "hi"}], format="json", stream=False)

    assert (reply.status, "which ignores format." in reply.json["error"]) == (400, True)


def test_errors_have_ollamas_shape(door: Serving, engines: OneEngine) -> None:
    """An unknown model, a wrong body, another site and an engine that fails: each is a sentence."""
    replies = [
        ask(door, "show", model="nope"),
        ask(door, "chat", messages=7),
        door.ask("GET", "/api/tags", b"", ["Origin: http://evil.example"]),
    ]
    engines.error = EngineFailed("It died.")
    replies.append(ask(door, "chat", messages=[{"role": "user", "content": "hi"}]))

    assert [reply.status for reply in replies] == [404, 400, 403, 503]
    assert all(isinstance(reply.json["error"], str) for reply in replies)
