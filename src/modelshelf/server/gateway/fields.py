"""What the fields of a request must be, in OpenAI's words: a client's mistake is told before an engine is asked.

Engines answer 500 to some of these, or pass them over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.errors import BadInput

_NEEDED = {
    Endpoint.CHAT: ("messages",),
    Endpoint.COMPLETIONS: ("prompt",),
    Endpoint.EMBEDDINGS: ("input",),
    Endpoint.RESPONSES: ("input",),
    Endpoint.TOKENIZE: ("prompt", "content", "messages"),
}
"""The fields of which a request needs one."""
_SAME: Mapping[str, str] = MappingProxyType({})
_MOST_BIAS = 10**6
TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
"""Types of parts that are texts."""


def check_fields(fields: Mapping[str, Any], endpoint: Endpoint, names: Mapping[str, str] = _SAME) -> None:
    """Raise unless the fields that are known here are what they must be, and the one that asks is there.

    Args:
        fields: The request's, in OpenAI's words.
        endpoint: What is asked for.
        names: The client's names for those that its protocol calls otherwise.

    Raises:
        BadInput: `param` names the field as the client does.
    """
    needed = _NEEDED.get(endpoint, ("model",))
    if all(fields.get(name) is None for name in needed):
        raise BadInput(f"The field {needed[0]} is missing.", param=needed[0])
    for name, value in fields.items():
        known = _SHAPES.get(name)
        if known is not None and value is not None and not known[0](value):
            said = names.get(name, name)
            raise BadInput(f"The field {said} must be {known[1]}.", param=said)
    messages = fields.get("messages")
    if messages is not None:
        _check_messages(messages)
    if endpoint is Endpoint.RESPONSES and not isinstance(fields["input"], str):
        _check_items(fields["input"])


def _check_messages(messages: list[Any]) -> None:
    for at, message in enumerate(messages):
        if fault := _fault_of(message):
            raise BadInput(f"messages[{at}]{fault}.", param="messages")


def _check_items(items: list[Any]) -> None:
    """Check what `/v1/responses` is given: messages, the parts of one, or what tools were asked and said."""
    for at, item in enumerate(items):
        fault = _fault_of(item) if isinstance(item, dict) and "role" in item else _fault_of_part(item)
        if fault:
            raise BadInput(f"input[{at}]{fault}.", param="input")


def _fault_of(message: Any) -> str:
    """Return what is wrong with a message; empty for nothing.

    >>> _fault_of({"role": "user", "content": "hi"}), _fault_of({"role": "user", "content": 5})
    ('', '.content must be a text, or a list of parts')
    """
    if not isinstance(message, dict):
        return " must be an object with role and content"
    if not isinstance(message.get("role"), str):
        return ".role must be a text, such as user"
    content = message.get("content")
    if isinstance(content, list):
        faults = (_at(f".content[{at}]", _fault_of_part(part)) for at, part in enumerate(content))
        if fault := next(filter(None, faults), ""):
            return fault
    elif not isinstance(content, str) and (content is not None or message["role"] != "assistant"):
        return ".content must be a text, or a list of parts"
    calls = message.get("tool_calls")
    return "" if calls is None or _are_calls(calls) else ".tool_calls must be a list of functions and their arguments"


def _at(place: str, fault: str) -> str:
    return place + fault if fault else ""


def _fault_of_part(part: Any) -> str:
    """Return what is wrong with a part of a message; empty for nothing."""
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return " must be an object with a type"
    if part["type"] == "refusal" or part["type"] not in TEXT_PARTS or isinstance(part.get("text"), str):
        return ""
    return ".text must be a text"


def _are_calls(calls: Any) -> bool:
    return isinstance(calls, list) and all(isinstance(call, dict) and _is_call(call.get("function")) for call in calls)


def _is_call(function: Any) -> bool:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return False
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        return True
    try:
        return isinstance(arguments, str) and isinstance(json.loads(arguments or "null"), dict | None)
    except (ValueError, RecursionError):
        return False


def _between(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _whole(least: float, most: float) -> Callable[[Any], bool]:
    """Return whether a value is a whole number within bounds; some clients write `20.0`."""
    is_between = _between(least, most)
    return lambda value: is_between(value) and value == int(value)


def _is_stop(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _is_some(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and bool(value))


def _is_bias(value: Any) -> bool:
    """Return whether a value is a bias for tokens; llama.cpp takes a list too, and false for never."""
    if isinstance(value, list):
        return True
    is_number = _between(-_MOST_BIAS, _MOST_BIAS)
    return isinstance(value, dict) and all(isinstance(by, bool) or is_number(by) for by in value.values())


def _are_tools(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(tool, dict) and isinstance(tool.get("function", {}), dict) for tool in value
    )


def _has_type(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


_COUNT = (_whole(1, 2**31), "a whole number from 1 on")
NO_LIMIT = -1
"""What examples for LM Studio and llama.cpp say where OpenAI's leave the field out."""
_MOST = (lambda value: value == NO_LIMIT or _COUNT[0](value), "a whole number from 1 on, or -1 for no limit")
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_PENALTY = (_between(-(2**31), 2**31), "a number")
_SHARE = (_between(0, 1), "a number from 0 to 1")
_SOME = (_is_some, "a text, or a list that isn't empty")
_OBJECT = (lambda value: isinstance(value, dict), "an object")
_SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(LIMITS, _MOST),
    "n": _COUNT,
    "best_of": _COUNT,
    "temperature": (_between(0, 2**31), "a number from 0 on"),
    "top_p": _SHARE,
    "min_p": _SHARE,
    "top_k": (_whole(-1, 2**31), "a whole number"),
    "seed": (_whole(-(2**63), 2**64 - 1), "a whole number"),
    "presence_penalty": _PENALTY,
    "frequency_penalty": _PENALTY,
    "repeat_penalty": _PENALTY,
    "stop": (_is_stop, "a text, or a list of texts"),
    "tools": (_are_tools, "a list of tools"),
    "response_format": (_has_type, "an object with a type, such as json_object"),
    "logit_bias": (_is_bias, "an object of tokens and numbers"),
    "stream_options": _OBJECT,
    "chat_template_kwargs": _OBJECT,
    "messages": (lambda value: isinstance(value, list) and bool(value), "a list of at least one message"),
    "prompt": _SOME,
    "content": _SOME,
    "input": _SOME,
}
"""What a field must be, and how that is said."""
