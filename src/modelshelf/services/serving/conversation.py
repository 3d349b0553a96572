"""A conversation with a model, over whatever answers in OpenAI's protocol: the server of this library, or an engine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError

from modelshelf.domain.uses import CLIENT_LEFT
from modelshelf.errors import BadInput, Denied, NotFound, ShelfError, TooMany, Unavailable

_CONNECT_WITHIN_S = 5.0
_ERRORS: dict[int, type[ShelfError]] = {400: BadInput, 401: Denied, 403: Denied, 404: NotFound, 429: TooMany}


@dataclass(frozen=True, slots=True)
class Turn:
    """What one question came to."""

    duration_s: float
    status: int
    """What a server would have answered."""
    error: str
    """What kind of error it ended with; empty for none."""
    first_s: float | None
    """From the question to the first piece; None if none came."""
    prompt_tokens: int | None
    """As the engine counts them; None where it doesn't."""
    completion_tokens: int | None


@dataclass(frozen=True, slots=True)
class Partner:
    """Who answers."""

    url: str
    """The root of a server, below which is `/v1`."""
    model: str
    """What a request to it calls the model."""
    key: str = field(default="", repr=False)
    """What it wants as `Authorization: Bearer`; empty where it asks for none."""
    note: Callable[[Turn], None] = lambda turn: None
    """Told what each question came to, where no server writes it down."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How fast an answer came."""

    first_s: float
    """Seconds from the question to the first piece."""
    tokens: int
    """How many it has; pieces, where the engine doesn't count."""
    rest_s: float
    """Seconds from the first piece to the last."""

    @property
    def tokens_per_s(self) -> float:
        """Return its rate after the first token; 0 for a single one."""
        return (self.tokens - 1) / self.rest_s if self.tokens > 1 and self.rest_s else 0.0


@dataclass(slots=True)
class Conversation:
    """What was said so far."""

    partner: Partner
    system: str = ""
    """The system prompt."""
    waits: Callable[[str], None] = lambda what: None
    """Told what an answer waits for; with an empty text, that it comes."""
    figures: Figures | None = None
    """How fast the last answer came, as far as it came."""
    _said: list[dict[str, str]] = field(default_factory=list)
    _pool: PoolManager = field(default_factory=lambda: PoolManager(retries=False))

    def clear(self) -> None:
        """Forget what was said."""
        self._said.clear()

    def ask(self, question: str) -> Iterator[str]:
        """Yield the answer piece by piece; what came of one that is broken off is remembered too.

        Raises:
            ShelfError: The server refuses, isn't there, or broke off; the question is forgotten if nothing came.
        """
        self._said.append({"role": "user", "content": question})
        told = [{"role": "system", "content": self.system}] if self.system else []
        pieces: list[str] = []
        watch, status, error = _Watch(), CLIENT_LEFT, "client-left"
        try:
            for piece in self._pieces([*told, *self._said], watch):
                self.waits("")
                watch.piece()
                pieces.append(piece)
                yield piece
            status, error = 200, ""
        except ShelfError as err:
            status, error = err.status, err.kind
            raise
        finally:
            self.waits("")
            self.figures = watch.figures()
            self.partner.note(watch.turn(status, error))
            if pieces:
                self._said.append({"role": "assistant", "content": "".join(pieces)})
            else:
                self._said.pop()

    def _pieces(self, messages: list[dict[str, str]], watch: _Watch) -> Iterator[str]:
        wanted = {"model": self.partner.model, "messages": messages, "stream": True}
        wanted["stream_options"] = {"include_usage": True}
        try:
            answer = self._post(wanted)
            try:
                for line in answer:
                    if line.startswith(b": "):
                        self.waits(line[2:].decode(errors="replace").strip())
                    elif line.startswith(b"data: {"):
                        yield from self._piece(json.loads(line[6:]), watch)
            finally:
                answer.close()
        except (HTTPError, ValueError) as err:
            raise broke_off(self.partner.url) from err

    def _piece(self, event: dict[str, Any], watch: _Watch) -> Iterator[str]:
        if "error" in event:
            raise Unavailable(_message_in(event))
        watch.count(event.get("usage"))
        for choice in event.get("choices") or []:
            delta = choice.get("delta") or {}
            if text := delta.get("content"):
                yield str(text)
            elif delta.get("reasoning_content"):
                self.waits("thinking")

    def _post(self, wanted: dict[str, Any]) -> BaseHTTPResponse:
        headers = {"Content-Type": "application/json"}
        if self.partner.key:
            headers["Authorization"] = f"Bearer {self.partner.key}"
        answer = self._pool.request(
            "POST",
            f"{self.partner.url}/v1/chat/completions",
            body=json.dumps(wanted).encode(),
            headers=headers,
            preload_content=False,
            redirect=False,
            timeout=Timeout(connect=_CONNECT_WITHIN_S, read=None),
        )
        if answer.status == 401:
            raise key_wanted(self.partner.url)
        if answer.status != 200:
            try:
                message = _message_in(json.loads(answer.data))
            except ValueError:
                message = f"{self.partner.url} answered {answer.status}."
            raise _ERRORS.get(answer.status, Unavailable)(message)
        return answer


def broke_off(url: str) -> Unavailable:
    """Return the error of a command whose server is gone, or ended in the middle of its answer."""
    return Unavailable(f"The server at {url} is gone, or broke off its answer.", hint="shelf serve starts one.")


def key_wanted(url: str, *, changes: bool = False) -> Denied:
    """Return the error of a command whose key a server doesn't take, or that brings none.

    Args:
        url: The server.
        changes: Whether the command changes something, which a key isn't for unless that is said.
    """
    scope = " --scope manage" if changes else ""
    hint = f"Make one (shelf key add NAME{scope}) and bring it: SHELF_API_KEY=KEY shelf …"
    return Denied(f"The server at {url} asks for a key.", hint=hint)


@dataclass(slots=True)
class _Watch:
    """The times of one answer."""

    began: float = field(default_factory=time.monotonic)
    first: float | None = None
    last: float = 0.0
    pieces: int = 0
    prompt: int | None = None
    """The tokens that the engine counted in the question; None where it doesn't."""
    counted: int | None = None
    """The same for the answer."""

    def piece(self) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.pieces += 1

    def count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self.prompt, self.counted = usage.get("prompt_tokens"), usage.get("completion_tokens")

    def turn(self, status: int, error: str) -> Turn:
        first_s = None if self.first is None else self.first - self.began
        return Turn(time.monotonic() - self.began, status, error, first_s, self.prompt, self.counted)

    def figures(self) -> Figures | None:
        if self.first is None:
            return None
        return Figures(self.first - self.began, self.counted or self.pieces, self.last - self.first)


def _message_in(told: Any) -> str:
    """Return the sentence of an error in OpenAI's form, or of a problem document."""
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(error, dict):
        return str(error.get("message", error))
    return str(error or told)
