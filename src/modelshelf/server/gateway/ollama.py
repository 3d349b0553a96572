"""Ollama's protocol, said in OpenAI's words to an engine, and its answer said back.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
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
from modelshelf.server.gateway.errors import ollama_error, to_bytes
from modelshelf.server.gateway.events import Events
from modelshelf.server.gateway.fields import check_fields

_OPTIONS = (
    "repeat_penalty",
    "repeat_last_n",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
)
"""Those that an engine knows by the same name."""
_OF_LOADS = frozenset(
    "f16_kv low_vram main_gpu num_batch num_ctx num_gpu num_keep num_thread numa use_mlock use_mmap vocab_only".split()
)
"""Options about the load, which aren't a request's: clients send them with each one."""
_NAMES = {name: f"options.{name}" for name in _OPTIONS}
_NAMES |= {"max_tokens": "options.num_predict", "response_format": "format", "chat_template_kwargs": "think"}
_SAYABLE = frozenset("format keep_alive model options stream think tools".split())
_NO_LIMIT = (0, -1, -2)
"""What `num_predict` may be beside a number of tokens: until the model ends, or its context does."""
_PASSED_OVER = frozenset({"truncate", "shift"})
"""Fields about what is left out when the context is full: nothing ever is here."""


def parse_chat(body: bytes) -> Asked:
    """Return the request that a body of `/api/chat` is, in OpenAI's words; without a message it only loads.

    Raises:
        BadInput: It isn't JSON, or has what can't be said in them; `param` names the field.
    """
    asked = object_in(body)
    refuse_unknown(asked, _SAYABLE | _PASSED_OVER | {"messages"})
    return _asked(asked, list(_messages(asked)))


def parse_generate(body: bytes) -> Asked:
    """Return the request that a body of `/api/generate` is, as a conversation; without a prompt it only loads.

    Raises:
        BadInput: See `parse_chat`.
    """
    asked = object_in(body)
    refuse_unknown(asked, _SAYABLE | _PASSED_OVER | {"images", "prompt", "system"})
    for name in ("prompt", "system"):
        if not isinstance(asked.get(name) or "", str):
            raise BadInput(f"The field {name} must be a text.", param=name)
    messages = [{"role": "system", "content": asked["system"]}] if asked.get("system") else []
    said = {"role": "user", "content": asked.get("prompt") or "", "images": asked.get("images")}
    return _asked(asked, [*messages, _with_images(said)] if asked.get("prompt") else [])


def parse_embed(body: bytes) -> Asked:
    """Return the request that a body of `/api/embed` or `/api/embeddings` is, in OpenAI's words.

    Raises:
        BadInput: See `parse_chat`.
    """
    asked = object_in(body)
    refuse_unknown(asked, frozenset({"input", "keep_alive", "model", "options", "prompt", "truncate"}))
    fields = {"input": asked.get("input", asked.get("prompt", ""))}
    check_fields(fields, Endpoint.EMBEDDINGS)
    return Asked(model_in(asked), fields, False, keep_alive_in(asked.get("keep_alive")))


def _asked(asked: Mapping[str, Any], messages: list[dict[str, Any]]) -> Asked:
    streams = flag_in(asked, "stream", default=True)
    options = asked.get("options") or {}
    if not isinstance(options, dict):
        raise BadInput("The field options must be an object.", param="options")
    refuse_unknown(options, _OF_LOADS | {*_OPTIONS, "num_predict"}, "options.")
    fields: dict[str, Any] = {name: options[name] for name in _OPTIONS if options.get(name) not in (None, [])}
    if (most := options.get("num_predict")) is not None and most not in _NO_LIMIT:
        fields["max_tokens"] = most
    if asked.get("tools"):
        fields["tools"] = list_in(asked, "tools")
    fields |= _form(asked.get("format")) | _thoughts(asked.get("think"))
    if streams:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    fields["messages"] = messages
    if messages:
        check_fields(fields, Endpoint.CHAT, _NAMES)
    return Asked(model_in(asked), fields, streams, keep_alive_in(asked.get("keep_alive")), names=_NAMES)


def _form(form: object) -> dict[str, Any]:
    """Return the field that says in which form the answer is to be."""
    if not form:
        return {}
    if form == "json":
        return {"response_format": {"type": "json_object"}}
    if not isinstance(form, dict):
        raise BadInput("The field format must be json, or a JSON schema.", param="format")
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": form}}}


def _thoughts(think: object) -> dict[str, Any]:
    """Return the field that says whether the model is to think, and how much."""
    if think is None:
        return {}
    if isinstance(think, bool):
        return {"chat_template_kwargs": {"enable_thinking": think}}
    if think not in ("low", "medium", "high"):
        raise BadInput("The field think must be true, false, low, medium or high.", param="think")
    return {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": think}}


def _messages(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the messages; a tool's says by its place, not by an id, which call it answers."""
    calls, answered = 0, 0
    for message in list_in(asked, "messages") if asked.get("messages") else ():
        said: dict[str, Any] = {"role": message.get("role"), "content": message.get("content") or ""}
        said["images"] = message.get("images")
        if message.get("role") == "tool":
            said["tool_call_id"] = f"call_{answered}"
            answered += 1
        if message.get("tool_calls"):
            said["tool_calls"] = []
            for call in list_in(message, "tool_calls"):
                function = call.get("function")
                if not isinstance(function, dict):
                    raise BadInput("A call of a tool must have a function.", param="messages")
                told = {"name": function.get("name"), "arguments": json.dumps(function.get("arguments") or {})}
                said["tool_calls"].append({"id": f"call_{calls}", "type": "function", "function": told})
                calls += 1
        yield _with_images(said)


def _with_images(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message whose pictures are parts of its content."""
    images = message.pop("images") or []
    if not isinstance(images, list):
        raise BadInput("The field images must be a list.", param="images")
    if images:
        urls = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}} for image in images]
        message["content"] = [{"type": "text", "text": message["content"]}, *urls]
    return message


@dataclass(slots=True)
class Lines:
    """One answer in Ollama's form: a line of JSON for each piece."""

    model: str
    """The model's name as the client gave it."""
    created_at: str
    """When it was asked, as RFC 3339."""
    wraps: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    """Makes the members of a piece of its text and what else is in it."""
    stream_type: str = "application/x-ndjson"
    _began_ns: int = field(default_factory=time.monotonic_ns)
    _first_ns: int = 0
    _events: Events = field(default_factory=Events)
    _usage: dict[str, int] = field(default_factory=dict)
    _calls: dict[int, dict[str, str]] = field(default_factory=dict)
    """What came so far of the calls of tools."""
    _stop: str = "stop"

    def whole(self, body: bytes) -> bytes:
        """Return an answer that came whole."""
        told = json.loads(body)
        choice = told["choices"][0]
        self._usage = told.get("usage") or {}
        self._stop = choice.get("finish_reason") or "stop"
        self._first_ns = self._began_ns
        for at, call in enumerate(choice["message"].get("tool_calls") or []):
            self._calls[at] = call["function"]
        return self._last(choice["message"].get("content") or "", choice["message"])

    def loaded(self, *, unloaded: bool) -> bytes:
        """Return the answer to a request that only loads, or unloads."""
        self._stop = "unload" if unloaded else "load"
        return self._last("", {})

    def part(self, chunk: bytes) -> bytes:
        """Return what a part of the engine's stream says."""
        return b"".join(said for event in self._events.read(chunk) for said in self._said(event))

    def _said(self, event: dict[str, Any]) -> Iterator[bytes]:
        if "error" in event:
            error = event["error"]
            yield self.failed(EngineFailed(str(error.get("message", error) if isinstance(error, dict) else error)))
            return
        self._usage = event.get("usage") or self._usage
        for choice in event.get("choices") or []:
            delta = choice.get("delta") or {}
            self._stop = choice.get("finish_reason") or self._stop
            for call in delta.get("tool_calls") or []:
                told, so_far = call.get("function") or {}, self._calls.setdefault(call.get("index", 0), {})
                so_far["name"] = told.get("name") or so_far.get("name", "")
                so_far["arguments"] = so_far.get("arguments", "") + (told.get("arguments") or "")
            if delta.get("content") or delta.get("reasoning_content"):
                self._first_ns = self._first_ns or time.monotonic_ns()
                more = {"reasoning_content": delta.get("reasoning_content")}
                yield self._line(self.wraps(delta.get("content") or "", more) | {"done": False})

    def end(self) -> bytes:
        """Return the last line."""
        return self._last("", {})

    def _last(self, text: str, message: Mapping[str, Any]) -> bytes:
        now_ns, calls = time.monotonic_ns(), [{"function": _call(call)} for call in self._calls.values()]
        more = {"reasoning_content": message.get("reasoning_content"), "tool_calls": calls}
        figures = {
            "total_duration": now_ns - self._began_ns,
            "load_duration": 0,
            "prompt_eval_count": self._usage.get("prompt_tokens", 0),
            "prompt_eval_duration": max(0, self._first_ns - self._began_ns),
            "eval_count": self._usage.get("completion_tokens", 0),
            "eval_duration": now_ns - (self._first_ns or now_ns),
        }
        reason = {"tool_calls": "stop"}.get(self._stop, self._stop)
        return self._line(self.wraps(text, more) | {"done": True, "done_reason": reason} | figures)

    def _line(self, members: dict[str, Any]) -> bytes:
        return to_bytes({"model": self.model, "created_at": self.created_at, **members}) + b"\n"

    def waiting(self, text: str) -> bytes:
        """Return nothing: there are no comments, and clients take every line for a piece."""
        return b""

    def failed(self, err: ShelfError) -> bytes:
        """Return the line that ends a stream which can't go on."""
        return to_bytes(ollama_error(err)) + b"\n"

    def error(self, err: ShelfError) -> bytes:
        """Return the answer to a request that can't be answered."""
        return to_bytes(ollama_error(err))


def as_message(text: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a piece of a conversation."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if more.get("reasoning_content"):
        message["thinking"] = more["reasoning_content"]
    if more.get("tool_calls"):
        message["tool_calls"] = more["tool_calls"]
    return {"message": message}


def as_response(text: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a piece of a text."""
    thought = {"thinking": more["reasoning_content"]} if more.get("reasoning_content") else {}
    return {"response": text, **thought}


class Vectors(Lines):
    """The answer of `/api/embed`, and of `/api/embeddings` for a single text."""

    def whole(self, body: bytes) -> bytes:
        """Return it."""
        told = json.loads(body)
        vectors = [one["embedding"] for one in sorted(told["data"], key=lambda one: one.get("index", 0))]
        count = (told.get("usage") or {}).get("prompt_tokens", 0)
        figures = {"total_duration": time.monotonic_ns() - self._began_ns, "load_duration": 0}
        return to_bytes(
            {"model": self.model, **self.wraps("", {"all": vectors}), **figures, "prompt_eval_count": count}
        )


def as_vectors(text: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the vectors of some texts."""
    return {"embeddings": more["all"]}


def as_vector(text: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the vector of one text."""
    return {"embedding": more["all"][0]}


def _call(call: Mapping[str, str]) -> dict[str, Any]:
    """Return the call of a tool, whose arguments are an object in Ollama's form."""
    try:
        arguments = json.loads(call.get("arguments") or "{}")
    except ValueError:
        arguments = {}
    return {"name": call.get("name"), "arguments": arguments}
