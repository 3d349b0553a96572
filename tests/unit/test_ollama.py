"""Ollama's protocol in OpenAI's words, and back: tables of what becomes what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelshelf.errors import BadInput, EngineFailed
from modelshelf.server.gateway.ollama import Lines, as_message, as_response, parse_chat, parse_embed, parse_generate

HI = {"role": "user", "content": "hi"}
AT = "2026-11-28T12:00:00.000Z"
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
CALL = {"function": {"name": "look", "arguments": {"at": 1}}}


def chat(**fields: Any) -> dict[str, Any]:
    """Return what the engine is asked, for a request with these fields beside the usual ones."""
    return dict(parse_chat(json.dumps({"model": "m", "messages": [HI], **fields}).encode()).fields)


REQUESTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, STREAMED | {"messages": [HI]}),
    ({"stream": False}, {"messages": [HI]}),
    ({"stream": False, "options": {"temperature": 0, "num_predict": 5, "num_ctx": 9, "seed": None}},
     {"messages": [HI], "temperature": 0, "max_tokens": 5}),
    ({"stream": False, "options": {"num_predict": -1}}, {"messages": [HI]}),
    ({"stream": False, "format": "json"}, {"messages": [HI], "response_format": {"type": "json_object"}}),
    ({"stream": False, "format": {"type": "object"}},
     {"messages": [HI], "response_format": {"type": "json_schema",
                                            "json_schema": {"name": "answer", "schema": {"type": "object"}}}}),
    ({"stream": False, "think": False}, {"messages": [HI], "chat_template_kwargs": {"enable_thinking": False}}),
    ({"stream": False, "think": "low"},
     {"messages": [HI], "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"}}),
    ({"stream": False, "options": {"mirostat": 2, "num_gpu": 1}, "truncate": True}, {"messages": [HI], "mirostat": 2}),
    ({"stream": False, "messages": []}, {"messages": []}),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "told"), REQUESTS, ids=str)
def test_a_request_is_said_in_openais_words(asked: dict[str, Any], told: dict[str, Any]) -> None:
    """Each field has its counterpart; what is about the load isn't passed on."""
    assert chat(**asked) == told


def test_tools_and_pictures_are_said_in_openais_words() -> None:
    """A call of a tool gets an id, which the tool's answer has too; a picture is a part of its message."""
    messages = [
        HI | {"images": ["aGk="]},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "seen", "tool_name": "look"},
    ]

    user, assistant, tool = chat(messages=messages)["messages"]

    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="
    assert assistant["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": 1}'}
    assert tool == {"role": "tool", "content": "seen", "tool_call_id": assistant["tool_calls"][0]["id"]}


def test_a_prompt_is_a_conversation() -> None:
    """`/api/generate` asks with the system and the prompt as messages; without a prompt there is none."""
    asked = parse_generate(b'{"model": "m", "system": "Be brief.", "prompt": "hi", "keep_alive": "5m"}')

    assert asked.fields["messages"] == [{"role": "system", "content": "Be brief."}, HI]
    assert (asked.stream, asked.keep_alive_s) == (True, 300)
    assert parse_generate(b'{"model": "m"}').fields["messages"] == []
    assert parse_embed(b'{"model": "m", "input": ["a"]}').fields == {"input": ["a"]}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": 7},
        {"messages": [{"content": "hi"}]},
        {"messages": [HI | {"tool_calls": [{}]}]},
        {"images": 7},
        {"options": 7},
        {"options.num_predict": "x"},
        {"options.temperature": "hot"},
        {"options.made_up": 1},
        {"tools": [7]},
        {"format": "xml"},
        {"think": "hard"},
        {"stream": 7},
        {"model": 7},
        {"logprobs": True},
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused(fields: dict[str, Any]) -> None:
    """A request that has no counterpart is bad input that names the field as the client does."""
    (name, value), *_ = fields.items()
    inner = {"options": {name.removeprefix("options."): value}} if "." in name else fields
    with pytest.raises(BadInput) as caught:
        chat(**({"messages": [HI | inner]} if name == "images" else inner))

    assert caught.value.fields["param"] == name


def told(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """Return an event of the engine."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: %s\n\n" % json.dumps({"choices": choices, **more}).encode()


def test_a_stream_is_said_in_lines() -> None:
    """Each piece is a line; the last one has the calls of tools as a whole, the reason to stop and the tokens."""
    call = {"index": 0, "id": "t1", "function": {"name": "look", "arguments": '{"at"'}}
    parts = [
        told({"reasoning_content": "hm"}),
        told({"content": "He"}),
        told({"content": "llo", "tool_calls": [call]}),
        told({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}, "tool_calls"),
        told(None, usage={"prompt_tokens": 3, "completion_tokens": 5}),
        b"data: [DONE]\n\n",
    ]
    stream, shape = b"".join(parts), Lines("m", AT, as_message)

    said = b"".join(shape.part(stream[at : at + 7]) for at in range(0, len(stream), 7)) + shape.end()
    *pieces, last = [json.loads(line) for line in said.splitlines()]

    assert [piece["message"].get("thinking", piece["message"]["content"]) for piece in pieces] == ["hm", "He", "llo"]
    assert all(piece["model"] == "m" and piece["created_at"] == AT and piece["done"] is False for piece in pieces)
    assert last["message"] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert (last["prompt_eval_count"], last["eval_count"]) == (3, 5)
    assert last["total_duration"] >= last["eval_duration"] > 0


def test_an_answer_is_said_at_once() -> None:
    """An answer that came whole is one line with text and figures."""
    message = {"content": "Hello", "tool_calls": [{"function": {"name": "look", "arguments": '{"at": 1}'}}]}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "length"}]}).encode()

    assert json.loads(Lines("m", AT, as_response).whole(body))["response"] == "Hello"
    said = json.loads(Lines("m", AT, as_message).whole(body))
    assert (said["message"]["tool_calls"], said["done_reason"]) == ([CALL], "length")


def test_an_error_in_a_stream_is_a_line() -> None:
    """The line has the engine's words, or ours."""
    shape = Lines("m", AT, as_message)

    assert shape.part(b'data: {"error": {"message": "out of tune"}}\n') == b'{"error":"out of tune"}\n'
    assert shape.part(b'data: {"error": "out of "tune""}\n') == b'{"error":"out of \\"tune\\""}\n'
    assert shape.failed(EngineFailed("out of tune")) == b'{"error":"out of tune"}\n'
    assert shape.waiting("loading") == b""
