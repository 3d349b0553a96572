"""Anthropic's Messages in OpenAI's words, and back: tables of what becomes what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelshelf.errors import BadInput, EngineFailed
from modelshelf.server.gateway.anthropic import Count, Messages, parse_count, parse_messages

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
TOOL = {"name": "look", "description": "Look.", "input_schema": {"type": "object"}}
FUNCTION = {"name": "look", "description": "Look.", "parameters": {"type": "object"}}
USE = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}}
CALL = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


def parsed(**fields: Any) -> dict[str, Any]:
    """Return what the engine is asked, for a request with these fields beside the usual ones."""
    usual = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return dict(parse_messages(json.dumps(usual | fields).encode()).fields)


REQUESTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
    ({"stop_sequences": ["x"], "top_k": 3}, {"stop": ["x"], "top_k": 3}),
    ({"tools": [TOOL]}, {"tools": [{"type": "function", "function": FUNCTION}]}),
    ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    (
        {"tool_choice": {"type": "tool", "name": "look"}},
        {"tool_choice": {"type": "function", "function": {"name": "look"}}},
    ),
    ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"chat_template_kwargs": {"enable_thinking": True}}),
    ({"metadata": {"user_id": "u"}, "mcp_servers": []}, {}),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}},
    ),
]


@pytest.mark.parametrize(("asked", "told"), REQUESTS, ids=str)
def test_a_request_is_said_in_openais_words(asked: dict[str, Any], told: dict[str, Any]) -> None:
    """Each field has its counterpart, and no field of Anthropic's alone is left."""
    fields = parsed(**asked)

    assert {name: fields[name] for name in told} == told
    assert not fields.keys() & {"system", "stop_sequences", "model"}


CONVERSATIONS: list[tuple[Any, list[dict[str, Any]]]] = [
    ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
     [{"role": "user", "content": "a\nb"}]),
    ([{"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}],
     [{"role": "user", "content": [{"type": "text", "text": "a"},
                                   {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}]),
    ([{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, USE]}],
     [{"role": "assistant", "content": "a", "tool_calls": [CALL]}]),
    ([{"role": "user", "content": [{"type": "text", "text": "so"},
                                   {"type": "tool_result", "tool_use_id": "t1", "content": "seen"}]}],
     [{"role": "tool", "tool_call_id": "t1", "content": "seen"}, {"role": "user", "content": "so"}]),
    ([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1",
                                    "content": [{"type": "text", "text": "a"}]}]}],
     [{"role": "tool", "tool_call_id": "t1", "content": "a"}]),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "told"), CONVERSATIONS, ids=str)
def test_a_conversation_is_said_in_openais_words(messages: Any, told: list[dict[str, Any]]) -> None:
    """Texts, pictures, the use of a tool and what the tool said become messages in their order."""
    assert parsed(messages=messages)["messages"] == told


def test_the_system_comes_first() -> None:
    """What the model is told beforehand is the first message, also when it comes in blocks."""
    blocks = [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]

    assert parsed(system=blocks)["messages"][0] == {"role": "system", "content": "Be\nbrief."}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [{"role": "user", "content": 7}]}, "content"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages"),
        ({"system": 5}, "system"),
        ({"stop_sequences": 5}, "stop_sequences"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"thinking": True}, "thinking"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"tools": 7}, "tools"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused(fields: dict[str, Any], param: str) -> None:
    """A request that has no counterpart is bad input that names the field."""
    with pytest.raises(BadInput) as caught:
        parsed(**fields)

    assert caught.value.fields["param"] == param


def test_an_answer_is_said_in_anthropics_words() -> None:
    """Thoughts, text and the use of tools become blocks, with the reason to stop and the tokens."""
    message = {"content": "Hello", "reasoning_content": "hm", "tool_calls": [CALL]}
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    told = {"id": "x", "choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage}

    said = json.loads(Messages("m").whole(json.dumps(told).encode()))

    assert [block["type"] for block in said["content"]] == ["thinking", "text", "tool_use"]
    assert said["content"][2] == USE
    assert (said["model"], said["stop_reason"], said["type"], said["id"]) == ("m", "tool_use", "message", "msg_x")
    assert said["usage"] == {"input_tokens": 3, "output_tokens": 5}


def events(said: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream, each of which has the name that it says."""
    found = []
    for event in said.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def told(delta: dict[str, Any] | None, **more: Any) -> bytes:
    """Return an event of the engine."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": more.pop("finish", None)}]
    return b"data: %s\n\n" % json.dumps({"id": "x", "choices": choices, **more}).encode()


def test_a_stream_is_said_in_anthropics_words() -> None:
    """Blocks begin, go on and end in order, wherever the engine's stream is cut, and the end has the tokens."""
    call = {"index": 0, "id": "t1", "function": {"name": "look", "arguments": ""}}
    parts = [
        told({"role": "assistant", "content": None}),
        told({"reasoning_content": "hm"}),
        told({"content": "He"}),
        told({"content": "llo"}),
        told({"tool_calls": [call]}),
        told({"tool_calls": [{"index": 0, "function": {"arguments": '{"at": 1}'}}]}, finish="tool_calls"),
        told(None, usage={"prompt_tokens": 3, "completion_tokens": 5}),
        b"data: [DONE]\n\n",
    ]
    stream, shape = b"".join(parts), Messages("m")

    said = events(b"".join(shape.part(stream[at : at + 7]) for at in range(0, len(stream), 7)) + shape.end())

    assert [(one["type"], one.get("index")) for one in said] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_delta", 2),
        ("content_block_stop", 2),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert said[0]["message"]["model"] == "m"
    assert [one["delta"].get("text") for one in said[5:7]] == ["He", "llo"]
    assert said[8]["content_block"] == {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    assert said[9]["delta"] == {"type": "input_json_delta", "partial_json": '{"at": 1}'}
    assert said[11]["delta"]["stop_reason"] == "tool_use"
    assert said[11]["usage"] == {"input_tokens": 3, "output_tokens": 5}


def test_an_engines_error_in_a_stream_is_said_too() -> None:
    """The event has the engine's words."""
    said = events(Messages("m").part(b'data: {"error": {"message": "out of tune"}}\n\n'))

    assert said == [{"type": "error", "error": {"type": "overloaded_error", "message": "out of tune"}}]
    assert events(Messages("m").failed(EngineFailed("out of tune"))) == said


def test_tokens_are_counted_by_the_engine() -> None:
    """The texts of a conversation are what the engine's tokenizer gets, and either engine's answer is understood."""
    body = {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "hi"}]}

    assert parse_count(json.dumps(body).encode()).fields["content"] == "Be brief.\nhi"
    assert json.loads(Count("m").whole(b'{"tokens": [1, 2, 3]}')) == {"input_tokens": 3}
    assert json.loads(Count("m").whole(b'{"count": 4, "max_model_len": 9}')) == {"input_tokens": 4}
