"""What is seen of a request on its way, for the ledger of uses. Nothing is parsed here: that comes after the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.domain.serving import Served
from modelshelf.domain.uses import CLIENT_LEFT, Use, breaks, figures_in, rate_of, writes
from modelshelf.errors import EngineFailed, ShelfError
from modelshelf.server.request_ids import REQUEST_ID

_SEEN_BYTES = 2048
"""Of an answer's beginning and end, so much is kept until its figures are read."""
KEY_NAME = "key_name"
"""Where the state of a request has the name of its key; it has none where no key is asked for."""


@dataclass(slots=True)
class Entry:
    """One request, as far as it came."""

    endpoint: Endpoint
    model_name: str
    key_name: str
    request_id: str
    at: float
    """When it came, in seconds since 1970."""
    began_s: float
    """The same, by the monotonic clock."""
    engine: str = ""
    cache_location: str = ""
    first_s: float | None = None
    """When the first token came, by the monotonic clock."""
    ended_s: float = 0.0
    status: int = 500
    error: str = "broken"
    seen: bytes = b""

    @classmethod
    def begin(cls, scope: Scope, endpoint: Endpoint, model_name: str, now_s: float) -> Entry:
        """Return the entry of a request that came now."""
        state = scope.get("state", {})
        key_name, request_id = state.get(KEY_NAME, ""), state.get(REQUEST_ID, "")
        return cls(endpoint, model_name, key_name, request_id, now_s, time.monotonic())

    def meet(self, served: Served) -> None:
        """Note the engine that will answer it."""
        self.engine, self.cache_location = served.backend, served.cache_location

    def see(self, chunk: bytes) -> None:
        """Note a part of a stream, as the engine sends it."""
        if self.first_s is None and writes(chunk):
            self.first_s = time.monotonic()
        self.seen = chunk[-_SEEN_BYTES:] if len(chunk) >= _SEEN_BYTES else (self.seen + chunk)[-_SEEN_BYTES:]

    def see_whole(self, body: bytes) -> None:
        """Note an answer that isn't streamed."""
        self.seen = body if len(body) <= 2 * _SEEN_BYTES else body[:_SEEN_BYTES] + body[-_SEEN_BYTES:]

    def answered(self) -> None:
        """Note that the answer is over."""
        self.status, self.error = 200, ""

    def failed(self, err: ShelfError) -> None:
        """Note why there is no answer; the sentence, which may repeat what was asked, isn't kept."""
        self.status, self.error = err.status, err.kind

    def left(self) -> None:
        """Note that the client left, unless its answer was over."""
        if self.status == 500:
            self.status, self.error = CLIENT_LEFT, "client-left"

    def end(self) -> Entry:
        """Note when it was over; returns itself."""
        self.ended_s = time.monotonic()
        return self

    def use(self) -> Use:
        """Return what it came to."""
        duration_s, figures = self.ended_s - self.began_s, figures_in(self.seen)
        first_token_s = None if self.first_s is None else self.first_s - self.began_s
        values: dict[str, Any] = {name: getattr(self, name) for name in _SAME}
        if self.status == 200 and breaks(self.seen):
            values |= {"status": EngineFailed.status, "error": "engine-failed"}
        return Use(
            kind=self.endpoint.value,
            duration_s=duration_s,
            prompt_tokens=figures.prompt_tokens,
            completion_tokens=figures.completion_tokens,
            first_token_s=first_token_s,
            tokens_per_s=figures.tokens_per_s or rate_of(figures.completion_tokens, first_token_s, duration_s),
            **values,
        )


_SAME = ("model_name", "at", "status", "error", "engine", "cache_location", "key_name", "request_id")
