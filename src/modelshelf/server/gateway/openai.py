"""OpenAI's protocol: answers pass unchanged, except for the model's name."""

from __future__ import annotations

import json
import re

from modelshelf.errors import EngineFailed, ShelfError
from modelshelf.server.gateway.errors import openai_error, to_bytes
from modelshelf.server.gateway.events import BARE_ERROR

_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_MODEL_OF_EVENT = re.compile(rb'^(data:.*?)"model"\s*:\s*"(?:[^"\\]|\\.)*"', re.MULTILINE)
"""The first one of an event. In a text within JSON the quotes are escaped, so that none of those looks like it."""


class OpenAi:
    """One answer in OpenAI's form, from an engine that speaks it.

    Args:
        model: The model's name as the client gave it.
    """

    stream_type = "text/event-stream"

    def __init__(self, model: str) -> None:
        self._name = b'"model":' + json.dumps(model).encode()
        self._rest = b""

    def whole(self, body: bytes) -> bytes:
        """Return an answer that isn't streamed.

        >>> OpenAi("smol").whole(b'{"id":1,"model": "/a/path"}')
        b'{"id":1,"model":"smol"}'
        """
        return _MODEL.sub(lambda _: self._name, body, count=1)

    def part(self, chunk: bytes) -> bytes:
        """Return a part of a stream; what isn't a whole line waits for the next part.

        >>> OpenAi("smol").part(b'data: {"model":"x"}' + bytes([10]) + b'data: {"mo')
        b'data: {"model":"smol"}\\n'
        """
        lines, end, rest = (self._rest + chunk).rpartition(b"\n")
        self._rest = rest
        said = _MODEL_OF_EVENT.sub(lambda found: found[1] + self._name, lines + end)
        return BARE_ERROR.sub(_whole_error, said) if b'{"error": "' in said else said

    def end(self) -> bytes:
        """Return what is left when the stream is over."""
        return _MODEL_OF_EVENT.sub(lambda found: found[1] + self._name, self._rest)

    def waiting(self, text: str) -> bytes:
        """Return a comment that tells a client that waits what it waits for."""
        return f": {text}\n\n".encode()

    def failed(self, err: ShelfError) -> bytes:
        """Return the event that ends a stream which can't go on."""
        return b"data: %s\n\n" % to_bytes(openai_error(err))

    def error(self, err: ShelfError) -> bytes:
        """Return the answer to a request that can't be answered."""
        return to_bytes(openai_error(err))


def _whole_error(found: re.Match[bytes]) -> bytes:
    """Return an event with an error as OpenAI's clients read it."""
    return b"data: " + to_bytes(openai_error(EngineFailed(found[1].decode(errors="replace"))))


class ToldChat(OpenAi):
    """A conversation's stream whose client asked to read in it what it waits for, where models write their thoughts."""

    def waiting(self, text: str) -> bytes:
        """Return a chunk of reasoning that tells a client that waits what it waits for.

        >>> json.loads(ToldChat("smol").waiting("loading smol")[6:])["choices"][0]["delta"]
        {'reasoning_content': 'loading smol\\n'}
        """
        choice = {"index": 0, "delta": {"reasoning_content": f"{text}\n"}, "finish_reason": None}
        chunk = {"id": "loading", "object": "chat.completion.chunk", "created": 0, "choices": [choice]}
        return b"data: %s,%s}\n\n" % (to_bytes(chunk)[:-1], self._name)
