"""Anthropic's Messages, said in OpenAI's words to an engine, and its answer said back.

Source: https://docs.anthropic.com/en/api/messages and …/messages-streaming.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.errors import BadInput, EngineFailed, ShelfError
from modelshelf.server.gateway.asked import (
    Asked,
    flag_in,
    keep_alive_in,
    list_in,
    model_in,
    object_in,
    refuse_unknown,
)
from modelshelf.server.gateway.errors import anthropic_error, to_bytes
from modelshelf.server.gateway.events import Events
from modelshelf.server.gateway.fields import check_fields

_SAME = ("max_tokens", "temperature", "top_p", "top_k")
_NAMES = {"stop": "stop_sequences", "response_format": "output_config", "chat_template_kwargs": "thinking"}
_SAYABLE = frozenset(
    {*_SAME, *_NAMES.values(), "keep_alive", "messages", "model", "stream", "system", "tool_choice", "tools"}
)
_PASSED_OVER = frozenset({"betas", "cache_control", "context_management", "inference_geo", "metadata", "service_tier"})
"""Fields that change no answer of an engine here: what they ask for is about Anthropic's own service."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def parse_messages(body: bytes) -> Asked:
    """Return the request that a body in Anthropic's form is, in OpenAI's words.

    Raises:
        BadInput: It isn't JSON, or has what can't be said in them; `param` names the field.
    """
    asked = object_in(body)
    refuse_unknown(asked, _SAYABLE | _PASSED_OVER)
    streams = flag_in(asked, "stream")
    fields: dict[str, Any] = {name: asked[name] for name in _SAME if name in asked}
    fields |= {"messages": list(_messages(asked)), **_thoughts_and_form(asked)}
    if asked.get("stop_sequences"):
        fields["stop"] = asked["stop_sequences"]
    if asked.get("tools"):
        fields["tools"] = [_tool(tool) for tool in list_in(asked, "tools")]
    if isinstance(choice := asked.get("tool_choice"), dict):
        named = {"type": "function", "function": {"name": choice.get("name")}}
        fields["tool_choice"] = _CHOICES.get(str(choice.get("type")), named)
    if streams:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    check_fields(fields, Endpoint.CHAT, _NAMES)
    return Asked(model_in(asked), fields, streams, keep_alive_in(asked.get("keep_alive")), names=_NAMES)


def _thoughts_and_form(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says whether the model is to think, and in which form it is to answer."""
    fields: dict[str, Any] = {}
    thinking, config = (asked.get(name) or {} for name in ("thinking", "output_config"))
    for name, value in (("thinking", thinking), ("output_config", config)):
        if not isinstance(value, dict):
            raise BadInput(f"The field {name} must be an object.", param=name)
    if thinking.get("type") in ("enabled", "disabled"):
        fields["chat_template_kwargs"] = {"enable_thinking": thinking["type"] == "enabled"}
    form = config.get("format")
    if isinstance(form, dict) and "schema" in form:
        schema = {"name": "answer", "schema": form["schema"]}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields


def parse_count(body: bytes) -> Asked:
    """Return the question how many tokens a request has, as an engine's tokenizer is asked.

    Raises:
        BadInput: See `parse_messages`.
    """
    asked = object_in(body)
    texts = [_text(message.get("content") or "") for message in _messages(asked)]
    texts += [json.dumps(tool) for tool in (list_in(asked, "tools") if asked.get("tools") else [])]
    text = "\n".join(texts)
    return Asked(model_in(asked), {"content": text, "prompt": text})


def _messages(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if asked.get("system"):
        yield {"role": "system", "content": _text(asked["system"], "system")}
    for message in list_in(asked, "messages"):
        content = message.get("content")
        if message.get("role") not in ("user", "assistant"):
            raise BadInput("The role of a message must be user or assistant.", param="messages")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list_in(message, "content")
        if message.get("role") == "assistant":
            yield _assistant(blocks)
        else:
            yield from _user(blocks)


def _assistant(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": _text(blocks)}
    calls = [
        {
            "id": block.get("id"),
            "type": "function",
            "function": {"name": block.get("name"), "arguments": json.dumps(block.get("input") or {})},
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    return said | ({"tool_calls": calls} if calls else {})


def _user(blocks: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what tools said, each as a message of its own, and then what the person did."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            content = _text(block.get("content") or "")
            yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content}
        else:
            parts.append(_part(block))
    if all(part["type"] == "text" for part in parts):
        if parts:
            yield {"role": "user", "content": "\n".join(part["text"] for part in parts)}
    else:
        yield {"role": "user", "content": parts}


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    source = block.get("source")
    if block.get("type") == "text":
        return {"type": "text", "text": _text([block])}
    if block.get("type") == "image" and isinstance(source, dict):
        url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    raise BadInput(f"A message can't have a block of type {block.get('type')!r:.40} here.", param="messages")


def _text(content: Any, name: str = "messages") -> str:
    """Return the text of a content: of a text itself, of blocks those that are text.

    Args:
        content: The content.
        name: The field that it is in.

    Raises:
        BadInput: It is neither, or a text isn't one.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise BadInput(f"The field {name} must have a text, or a list of blocks.", param=name)
    texts = [one.get("text") for one in content if one.get("type") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise BadInput(f"The field {name} has a block of type text without a text.", param=name)
    return "\n".join(map(str, texts))


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if "input_schema" not in tool:
        raise BadInput(f"The tool {tool.get('name')!r:.60} isn't one of the client's.", param="tools")
    function = {"name": tool.get("name"), "description": tool.get("description", "")}
    return {"type": "function", "function": function | {"parameters": tool["input_schema"]}}


@dataclass(slots=True)
class Messages:
    """One answer in Anthropic's form."""

    model: str
    """The model's name as the client gave it."""
    stream_type: str = "text/event-stream"
    _events: Events = field(default_factory=Events)
    _block: tuple[str, int] | None = None
    """The kind of the block that is open, and which of its kind."""
    _index: int = -1
    """The number of the last block; -1 before the first."""
    _begun: bool = False
    _stop: str = "end_turn"
    _usage: dict[str, int] = field(default_factory=dict)

    def whole(self, body: bytes) -> bytes:
        """Return an answer that came whole."""
        told = json.loads(body)
        choice = told["choices"][0]
        message, content = choice["message"], list[dict[str, Any]]()
        if message.get("reasoning_content"):
            content.append({"type": "thinking", "thinking": message["reasoning_content"], "signature": ""})
        if message.get("content"):
            content.append({"type": "text", "text": message["content"]})
        for call in message.get("tool_calls") or []:
            function = call["function"]
            arguments = json.loads(function.get("arguments") or "{}")
            content.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments})
        stop = _STOPS.get(choice.get("finish_reason"), "end_turn")
        usage = _usage_in(told)
        return to_bytes(self._message(content, stop, usage, str(told.get("id", ""))))

    def _message(self, content: list[Any], stop: str | None, usage: dict[str, int], name: str) -> dict[str, Any]:
        return {
            "id": f"msg_{name}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0} | usage,
        }

    def part(self, chunk: bytes) -> bytes:
        """Return what a part of the engine's stream says."""
        return b"".join(said for event in self._events.read(chunk) for said in self._said(event))

    def _said(self, event: dict[str, Any]) -> Iterator[bytes]:
        if "error" in event:
            error = event["error"]
            yield self.failed(EngineFailed(str(error.get("message", error) if isinstance(error, dict) else error)))
            return
        if not self._begun:
            self._begun = True
            yield _event("message_start", message=self._message([], None, {}, str(event.get("id", ""))))
        self._usage |= _usage_in(event)
        for choice in event.get("choices") or []:
            yield from self._delta(choice.get("delta") or {})
            if choice.get("finish_reason"):
                self._stop = _STOPS.get(choice["finish_reason"], "end_turn")

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[bytes]:
        if text := delta.get("reasoning_content"):
            yield from self._open("thinking", 0, {"type": "thinking", "thinking": "", "signature": ""})
            yield self._piece({"type": "thinking_delta", "thinking": text})
        if text := delta.get("content"):
            yield from self._open("text", 0, {"type": "text", "text": ""})
            yield self._piece({"type": "text_delta", "text": text})
        for call in delta.get("tool_calls") or []:
            function = call.get("function") or {}
            named = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
            yield from self._open("tool_use", call.get("index", 0), named)
            if function.get("arguments"):
                yield self._piece({"type": "input_json_delta", "partial_json": function["arguments"]})

    def _open(self, kind: str, which: int, block: dict[str, Any]) -> Iterator[bytes]:
        """Yield what ends the block that is open and begins this one, unless it is this one."""
        if self._block == (kind, which):
            return
        yield from self._close()
        self._block, self._index = (kind, which), self._index + 1
        yield _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> Iterator[bytes]:
        if self._block is not None:
            self._block = None
            yield _event("content_block_stop", index=self._index)

    def _piece(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def end(self) -> bytes:
        """Return the end of the stream."""
        last = b"".join(self._close())
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        usage = {"output_tokens": 0} | self._usage
        return last + _event("message_delta", delta=delta, usage=usage) + _event("message_stop")

    def waiting(self, text: str) -> bytes:
        """Return a comment that tells a client that waits what it waits for."""
        return f": {text}\n\n".encode()

    def failed(self, err: ShelfError) -> bytes:
        """Return the event that ends a stream which can't go on."""
        return b"event: error\ndata: %s\n\n" % to_bytes(anthropic_error(err))

    def error(self, err: ShelfError) -> bytes:
        """Return the answer to a request that can't be answered."""
        return to_bytes(anthropic_error(err))


class Count(Messages):
    """The answer to how many tokens a request has."""

    def whole(self, body: bytes) -> bytes:
        """Return it."""
        told = json.loads(body)
        return to_bytes({"input_tokens": told.get("count", len(told.get("tokens") or []))})


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), to_bytes({"type": kind, **fields}))


def _usage_in(told: Mapping[str, Any]) -> dict[str, int]:
    usage = told.get("usage") or {}
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    return {ours: usage[theirs] for theirs, ours in names.items() if usage.get(theirs) is not None}
