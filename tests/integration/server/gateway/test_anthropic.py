"""Anthropic's protocol through the door."""

from __future__ import annotations

import json
from typing import Any

from modelshelf.errors import TooMany
from modelshelf.services.shelf import Shelf
from tests.fakes.upstream import NAME, OneEngine, Upstream
from tests.integration.server.gateway.test_openai import dechunked
from tests.serving import Reply, Serving, serving

PATH = "/v1/messages"


def ask(door: Serving, text: str = "hi", path: str = PATH, *headers: str, **more: Any) -> Reply:
    """Post a message."""
    body = {"model": "smol", "max_tokens": 9, "messages": [{"role": "user", "content": text}], **more}
    return door.ask("POST", path, json.dumps(body).encode(), headers)


def test_a_message_is_answered(door: Serving, engine: Upstream) -> None:
    """The engine is asked in OpenAI's words by its own name, and the answer is Anthropic's with the client's."""
    reply = ask(door)

    assert (reply.status, reply.json["model"], reply.json["role"]) == (200, "smol", "assistant")
    assert reply.json["usage"] == {"input_tokens": 3, "output_tokens": 5}
    assert engine.bodies == [{"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "model": NAME}]
    assert engine.paths == ["/v1/chat/completions"]


def test_a_message_is_streamed(door: Serving) -> None:
    """The stream begins with the message and ends with its stop."""
    said = dechunked(ask(door, stream=True).body).decode()

    names = [line.removeprefix("event: ") for line in said.splitlines() if line.startswith("event: ")]
    assert (names[0], names[-1]) == ("message_start", "message_stop")
    assert names.count("content_block_delta") == 2


def test_an_engine_that_dies_ends_the_stream_with_an_error(door: Serving) -> None:
    """The last event is an error in Anthropic's shape."""
    last = dechunked(ask(door, "die", stream=True).body).decode().rstrip().rpartition("\n\n")[2]

    assert last.startswith("event: error\ndata: ")
    assert "broke off its answer" in json.loads(last.partition("data: ")[2])["error"]["message"]


def test_errors_have_anthropics_shape(shelf: Shelf, door: Serving, engines: OneEngine) -> None:
    """A wrong body, an unknown model, a full queue, a missing key and another site: each has type and message."""
    bad = ask(door, messages=None)
    unknown = ask(door, model="nope")
    foreign = ask(door, "hi", PATH, "Origin: http://evil.example")
    engines.error = TooMany("Wait.")
    full = ask(door)
    with serving(shelf, engines=engines, api_key="ours") as locked:
        keyless = ask(locked)
        keyed = ask(locked, "hi", PATH, "x-api-key: ours")

    replies = [bad, unknown, foreign, full, keyless]
    assert [(reply.status, reply.json["error"]["type"]) for reply in replies] == [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (403, "permission_error"),
        (429, "rate_limit_error"),
        (401, "authentication_error"),
    ]
    assert {reply.json["type"] for reply in replies} == {"error"}
    assert keyed.status == 429


def test_tokens_are_counted(door: Serving, engine: Upstream) -> None:
    """The engine's tokenizer is asked."""
    reply = ask(door, path="/v1/messages/count_tokens")

    assert (reply.status, reply.json) == (200, {"input_tokens": 2})
    assert engine.paths == ["/tokenize"]


def test_an_answer_that_makes_no_sense_is_the_engines_failure(door: Serving) -> None:
    """Where the engine's answer isn't one, the client is told so, and not that the server failed."""
    reply = ask(door, "nonsense")

    assert (reply.status, reply.json["error"]["type"]) == (503, "overloaded_error")
    assert "can't be understood" in reply.json["error"]["message"]
