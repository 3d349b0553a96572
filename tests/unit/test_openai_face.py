"""OpenAI's requests and answers on their way through the door: what changes, and what stays byte for byte."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.names import ModelName
from modelshelf.domain.serving import Served
from modelshelf.errors import BadInput
from modelshelf.server.gateway.asked import keep_alive_in, parse_asked
from modelshelf.server.gateway.openai import OpenAi

SERVED = Served(ModelName("smol"), "fake", "http://127.0.0.1:1", '/a/pa"th', ignores=frozenset({"tools"}))
TEXTS = st.text(max_size=20)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{ "x": 1.50, "model" : "smol" }', b'{ "x": 1.50, "model":"/a/pa\\"th" }'),
        (b'{"model":"smol","a":"\\"model\\":\\"smol\\""}', b'{"model":"/a/pa\\"th","a":"\\"model\\":\\"smol\\""}'),
        (b'{"model":"smol","a":{"model":"b"}}', b'{"model":"/a/pa\\"th","a":{"model":"b"}}'),
        (b'{"a":{"model":"b"},"\\u006dodel":"smol","model":"c"}', b'{"a":{"model":"b"},"model":"/a/pa\\"th"}'),
        (b'{"model":"smol","keep_alive":5}', b'{"model":"/a/pa\\"th"}'),
        (b'{"a":{"model":"b"},"mod\\u0065l":"smol"}', b'{"a":{"model":"b"},"model":"/a/pa\\"th"}'),
    ],
    ids=["spaces", "a text", "another one", "twice", "keep_alive", "spelled otherwise"],
)
def test_the_engine_gets_its_own_name(body: bytes, told: bytes) -> None:
    """The model's name alone changes; the body is written anew where it isn't plain which name that is."""
    assert parse_asked(body).body_for(SERVED) == told


@given(st.lists(TEXTS, min_size=1, max_size=5), TEXTS, st.integers(1, 60))
def test_a_stream_may_be_cut_anywhere(pieces: list[str], model: str, size: int) -> None:
    """However a stream comes in, each event has the client's name, and nothing else in it changes."""
    sent = [{"choices": [{"delta": {"content": text, "model": 1}}], "model": model} for text in pieces]
    stream = b"".join(b"data: %s\n\n" % json.dumps(event, ensure_ascii=False).encode() for event in sent)
    shape = OpenAi("me")

    said = b"".join(shape.part(stream[at : at + size]) for at in range(0, len(stream), size)) + shape.end()

    events: list[Any] = [json.loads(line[6:]) for line in said.split(b"\n\n") if line]
    assert events == [event | {"model": "me"} for event in sent]


def test_a_streams_error_is_an_object() -> None:
    """transformers streams an error as a bare text, with quotes that aren't escaped; clients read its message."""
    said = OpenAi("me").part(b'data: {"error": "`a` must be "b""}' + b"\n\n")

    assert (said[:7], said[-3:]) == (b"data: {", b"}\n\n")
    assert json.loads(said[6:])["error"]["message"] == '`a` must be "b"'


@given(TEXTS, TEXTS)
def test_an_answer_has_the_name_that_was_asked_for(text: str, model: str) -> None:
    """Whatever the answer says, its own name alone changes."""
    told = {"choices": [{"message": {"content": text}}], "model": model, "usage": {"total_tokens": 1}}

    assert json.loads(OpenAi("org/me").whole(json.dumps(told).encode())) == told | {"model": "org/me"}


def test_a_field_that_is_ignored_is_refused_unless_it_asks_for_nothing() -> None:
    """An empty list of tools asks for nothing; a tool does."""
    parse_asked(b'{"model": "smol", "tools": []}').refuse_ignored(SERVED)
    with pytest.raises(BadInput, match="smol runs on fake, which ignores tools"):
        parse_asked(b'{"model": "smol", "tools": [{}]}').refuse_ignored(SERVED)


def test_a_named_tool_is_the_only_one_that_is_told_and_must_be_called() -> None:
    """llama.cpp takes a choice that names a function for `auto`; another function than those offered is refused."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("look", "jump")]
    asked = {"model": "smol", "tools": tools, "tool_choice": {"type": "function", "function": {"name": "jump"}}}
    unknown = asked | {"tool_choice": {"type": "function", "function": {"name": "fly"}}}
    llama = replace(SERVED, names_tools=False)

    told = json.loads(parse_asked(json.dumps(asked).encode()).body_for(llama))

    assert (told["tools"], told["tool_choice"]) == (tools[1:], "required")
    assert json.loads(parse_asked(json.dumps(asked).encode()).body_for(SERVED))["tools"] == tools
    with pytest.raises(BadInput, match="tool_choice names fly"):
        parse_asked(json.dumps(unknown).encode()).body_for(llama)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/x"}},
        {"type": "image_url", "image_url": "file:///etc/passwd"},
        {"type": "input_image", "image_url": "/etc/passwd"},
        {"type": "audio_url", "audio_url": {}},
    ],
    ids=["http", "file", "a path", "nothing"],
)
@pytest.mark.parametrize("field", ["messages", "input"])
def test_nothing_is_fetched_for_a_request(field: str, part: dict[str, Any]) -> None:
    """An image that is an address is refused; one that brings its bytes passes, and so does a text about addresses."""
    body = {"model": "smol", field: [{"role": "user", "content": [{"type": "text", "text": "image_url"}, part]}]}
    whole = json.dumps(body | {field: [{"content": [{"image_url": {"url": "data:image/png;base64,AA=="}}]}, "x"]})

    parse_asked(whole.encode()).refuse_addresses()
    with pytest.raises(BadInput, match="_url must bring its bytes"):
        parse_asked(json.dumps(body).encode()).refuse_addresses()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (0, 0), (1.5, 1.5), (-7, -1), ("5m", 300), ("-1m", -1), ("30", 30), (1e12, -1)],
    ids=str,
)
def test_keep_alive_is_seconds(value: object, seconds: float | None) -> None:
    """Numbers and durations are seconds; what is negative is for ever."""
    assert keep_alive_in(value) == seconds


@pytest.mark.parametrize("value", [True, "soon", [], {}, 10**400, "nan"], ids=lambda value: str(value)[:9])
def test_what_is_no_duration_is_refused(value: object) -> None:
    """The field is named."""
    with pytest.raises(BadInput) as caught:
        keep_alive_in(value)

    assert caught.value.fields == {"param": "keep_alive"}
