"""A request to a model: the fields that the door reads, and the body that the engine gets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.domain.serving import Served
from modelshelf.errors import BadInput
from modelshelf.server.gateway.fields import LIMITS, NO_LIMIT, TEXT_PARTS, check_fields
from modelshelf.units import parse_duration

_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_OURS = ("keep_alive", "tell_loading")
"""Fields for the library alone; an engine would refuse them."""
_MOST_NAME_CHARS = 250
_FOR_EVER_S = 10 * 365 * 86400.0
_SAYS_NOTHING: tuple[object, ...] = (None, False, "", [], {}, "auto", {"type": "text"})
"""Values that ask for the default."""
_USUAL: Mapping[str, object] = {
    "n": 1,
    "best_of": 1,
    "modalities": ["text"],
    "text": {"format": {"type": "text"}},
    "truncation": "disabled",
}
"""What asks for the default in a single field."""


_MEDIA = frozenset("audio audio_url file image image_url input_audio input_file input_image video video_url".split())
"""Types of parts that aren't texts, and may stand alone in `input`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    model: str
    """The model as the client names it."""
    fields: Mapping[str, Any]
    stream: bool = False
    keep_alive_s: float | None = None
    tells_loading: bool = False
    """Whether a stream's client reads in its answer that the model loads."""
    body: bytes = b""
    """As it came; empty where the fields are a translation."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The client's names for the fields that its protocol calls otherwise."""

    def refuse_ignored(self, served: Served) -> None:
        """Raise if the engine would ignore a field that changes the answer, or keep tools from the model.

        Raises:
            BadInput: It would; `param` names the field.
        """
        if not served.takes_tools and self.fields.get("tools"):
            raise BadInput(
                f"The chat template of {served.model_name} has no place for tools: the model would never see them.",
                hint="Leave tools out, or ask a model that was trained to call them.",
                param="tools",
            )
        if not served.takes_media and (name := self._has_media()):
            raise BadInput(
                f"{served.model_name} reads texts alone: pictures, sounds and files would never reach it.",
                hint="Leave them out, or ask a model that sees.",
                param=name,
            )
        for name in sorted(served.ignores.intersection(self.fields)):
            if _says_something(name, self.fields[name]):
                said = self.names.get(name, name)
                raise BadInput(
                    f"{served.model_name} runs on {served.backend}, which ignores {said}.",
                    hint=f"Leave {said} out, or ask a model that another backend serves.",
                    param=said,
                )

    def _has_media(self) -> str:
        """Return the field that has something else than texts for the model; empty for none."""
        for name in ("messages", "input"):
            value = self.fields.get(name)
            for item in value if isinstance(value, list) else ():
                if isinstance(item, dict) and (item.get("type") in _MEDIA or _has_other_parts(item.get("content"))):
                    return name
        return ""

    def _samples(self) -> bool:
        """Return whether the answer is to vary: a temperature above 0 says so, or what is of use with one alone."""
        fields = self.fields
        if (temperature := fields.get("temperature")) is not None:
            return bool(temperature)
        return fields.get("top_p") not in (None, 1) or fields.get("seed") is not None

    def refuse_addresses(self) -> None:
        """Raise if the request names an image, a sound or a file by an address.

        An engine would fetch it from the server's own network, or from its disk.

        Raises:
            BadInput: It does; `param` names the field.
        """
        todo: list[Any] = [self.fields.get("messages"), self.fields.get("input")]
        while todo:
            value = todo.pop()
            if isinstance(value, list):
                todo += value
            elif isinstance(value, dict):
                for name, inside in value.items():
                    if name.endswith("_url"):
                        _refuse_address(name, inside)
                    elif isinstance(inside, list | dict):
                        todo.append(inside)

    def body_for(self, served: Served) -> bytes:
        """Return the body that the engine gets: the same with its own name for the model, written anew only if it must.

        Args:
            served: The engine.
        """
        chosen = {} if served.names_tools else _only_the_named_tool(self.fields)
        if served.samples_with and self._samples():
            chosen |= {name: text for name, text in served.samples_with.items() if name not in self.fields}
        is_kept = not chosen and not self.fields.keys() & set(_OURS)
        if is_kept and b"\\u" not in self.body:  # which could spell the field otherwise
            places = list(islice(_MODEL.finditer(self.body), 2))
            if len(places) == 1:
                place = places[0]
                name = json.dumps(served.upstream_model).encode()
                return b'%s"model":%s%s' % (self.body[: place.start()], name, self.body[place.end() :])
        kept = {key: value for key, value in self.fields.items() if key not in _OURS}
        return json.dumps(kept | chosen | {"model": served.upstream_model}, separators=(",", ":")).encode()


def _only_the_named_tool(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say without naming a function that the named one is to be called: it alone, and it must.

    >>> f, g = ({"type": "function", "function": {"name": name}} for name in "fg")
    >>> _only_the_named_tool({"tools": [f, g], "tool_choice": g}) == {"tools": [g], "tool_choice": "required"}
    True

    Raises:
        BadInput: The tool that is to be called isn't one of the tools.
    """
    choice, tools = fields.get("tool_choice"), fields.get("tools")
    if not isinstance(choice, dict):
        return {}
    function = choice.get("function") or choice
    name = function.get("name") if isinstance(function, dict) else None
    found = [tool for tool in tools or () if _name_of(tool) == name] if isinstance(tools, list) else []
    if name is None or not found:
        raise BadInput(f"tool_choice names {name!s:.80}, which isn't one of the tools.", param="tool_choice")
    return {"tools": found, "tool_choice": "required"}


def _name_of(tool: Any) -> Any:
    """Return the name of a function, in the form of chat/completions or of responses."""
    told = tool.get("function", tool) if isinstance(tool, dict) else None
    return told.get("name") if isinstance(told, dict) else None


def _has_other_parts(content: Any) -> bool:
    """Return whether a content has parts that aren't texts, also of a kind that nobody knows."""
    return isinstance(content, list) and not all(
        isinstance(part, dict) and part.get("type") in TEXT_PARTS for part in content
    )


def _bounded(keep_alive_s: float) -> float:
    """Return how long to stay; longer than a server runs is for ever."""
    return max(-1.0, keep_alive_s) if keep_alive_s < _FOR_EVER_S else -1.0


def _refuse_address(name: str, value: Any) -> None:
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str) or not url.startswith("data:"):
        raise BadInput(
            f"{name} must bring its bytes: this server fetches nothing for a request.",
            hint="Send them as data:image/png;base64,…",
            param=name,
        )


def parse_asked(body: bytes) -> Asked:
    """Return the request that a body in OpenAI's form is.

    Raises:
        BadInput: It isn't JSON, or a field that the door reads isn't what it must be; `param` names the field.
    """
    fields = object_in(body)
    keep_alive_s = keep_alive_in(fields.get("keep_alive"))
    streams, tells = flag_in(fields, "stream"), flag_in(fields, "tell_loading")
    return Asked(model_in(fields), fields, streams, keep_alive_s, tells, body)


def parser_of(endpoint: Endpoint) -> Callable[[bytes], Asked]:
    """Return what makes the request of a body in OpenAI's form.

    It raises BadInput where `parse_asked` does, and where a field isn't what it must be.

    Args:
        endpoint: What is asked for.
    """

    def parse(body: bytes) -> Asked:
        asked = parse_asked(body)
        check_fields(asked.fields, endpoint)
        plainly = _said_plainly(asked.fields, endpoint)
        return replace(asked, fields={**asked.fields, **plainly}, body=b"") if plainly else asked

    return parse


def _said_plainly(fields: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Return the fields on whose default or spelling engines don't agree, in words that each of them takes.

    A limit of -1 is none in llama.cpp alone. transformers streams `/v1/responses` by default, and fails on an empty
    list of stops and on whole numbers in `logit_bias`. The text whose tokens are wanted is the `content` in llama.cpp
    and the `prompt` in vLLM.
    """
    plainly: dict[str, Any] = {name: None for name in LIMITS if fields.get(name) == NO_LIMIT}
    texts = [fields[name] for name in ("content", "prompt") if fields.get(name) is not None]
    if endpoint is Endpoint.TOKENIZE and texts:
        plainly |= {"content": texts[0], "prompt": texts[0]}
    if endpoint is Endpoint.RESPONSES and not fields.get("stream"):
        plainly["stream"] = False
    if fields.get("stop") == []:
        plainly["stop"] = None
    if isinstance(bias := fields.get("logit_bias"), dict):
        plainly["logit_bias"] = {token: float(by) if type(by) is int else by for token, by in bias.items()}
    return plainly


def refuse_unknown(asked: Mapping[str, Any], known: Set[str], prefix: str = "") -> None:
    """Raise if a request has a field that can't be said to an engine, and that asks for something.

    Args:
        asked: The request, or an object in it.
        known: The names that it may have.
        prefix: What stands before a name of this object.

    Raises:
        BadInput: It has; `param` names the field.
    """
    for name in asked.keys() - known:
        if _says_something(name, asked[name]):
            raise BadInput(
                f"The field {prefix}{name:.60} can't be said to an engine.", hint="Leave it out.", param=prefix + name
            )


def _says_something(name: str, value: object) -> bool:
    return value not in _SAYS_NOTHING and (name not in _USUAL or value != _USUAL[name])


def object_in(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        BadInput: There is none.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise BadInput(f"The body isn't JSON: {err!s:.80}.") from err
    if not isinstance(fields, dict):
        raise BadInput("The body must be a JSON object.")
    return fields


def model_in(fields: Mapping[str, Any]) -> str:
    """Return the model that a request names.

    Raises:
        BadInput: It names none.
    """
    model = fields.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= _MOST_NAME_CHARS or not _is_text(model):
        raise BadInput("The field model must name a model.", hint="GET /v1/models lists them.", param="model")
    return model


def _is_text(value: str) -> bool:
    """Return whether a database takes it: JSON can spell half a character, and NUL."""
    return value.isprintable()


def flag_in(fields: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """Return a field that is true or false; the default where it is missing or null.

    Raises:
        BadInput: It is something else.
    """
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadInput(f"The field {name} must be true or false.", param=name)
    return value


def list_in(asked: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a field that is a list of objects.

    Raises:
        BadInput: It isn't one.
    """
    value = asked.get(name)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadInput(f"The field {name} must be a list of objects.", param=name)
    return value


def keep_alive_in(value: object) -> float | None:
    """Return the seconds that an idle model is to stay; negative: for ever; None: nothing was said.

    >>> keep_alive_in(30), keep_alive_in("5m"), keep_alive_in("-1"), keep_alive_in("-1m"), keep_alive_in(None)
    (30.0, 300.0, -1.0, -1.0, None)

    Raises:
        BadInput: It isn't a duration.
    """
    try:
        if isinstance(value, bool):
            raise ValueError
        if value is None or isinstance(value, int | float):
            return None if value is None else _bounded(float(value))
        if not isinstance(value, str):
            raise ValueError
        return -1.0 if value.startswith("-") else _bounded(parse_duration(value, bare="s"))
    except (ValueError, OverflowError):
        detail = "The field keep_alive must be seconds or a duration such as 5m; -1 for ever."
        raise BadInput(detail, param="keep_alive") from None
