"""The ledger of uses as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject, time_or_none
from modelshelf.units import rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.uses import ModelStats, Recorded


@dataclass(frozen=True)
class UseJson(JsonObject):
    """A use of a model: a request, or a load or run. What was said isn't kept."""

    id: int
    """Its number; newer uses have higher ones."""
    model_name: str
    """The model, by the name that it has now."""
    kind: str
    """What a request asked, such as `chat/completions`; else `load`, `run`, or `engine` for the life of one."""
    started_at: str
    """When it began; of a load or run, when it ended."""
    duration_s: float
    """The seconds that it took, with the wait for the model."""
    status: int | None
    """The HTTP status of the answer; 499 if the client left; null if it wasn't a request."""
    error: str
    """The kind of error that it ended with; empty for none."""
    engine: str
    """The kind of program that answered; empty where it came to none."""
    cache_location: str
    """The tier from which that was loaded."""
    prompt_tokens: int | None
    """Tokens in; null where the engine doesn't say."""
    completion_tokens: int | None
    """Tokens out; null where the engine doesn't say."""
    first_token_s: float | None
    """Seconds to the first token of a stream; null for what isn't streamed."""
    tokens_per_s: float | None
    """How fast tokens came after the first one; null where that isn't known."""
    key_name: str
    """The API key that it brought; empty without one."""
    request_id: str
    """Its id in the log, and in the answer's header `X-Request-Id`."""

    @classmethod
    def of(cls, use: Recorded) -> UseJson:
        """Return the object for a row of the ledger."""
        return cls.like(
            use,
            started_at=rfc3339(use.at),
            duration_s=round(use.duration_s, 4),
            first_token_s=_rounded(use.first_token_s),
            tokens_per_s=_rounded(use.tokens_per_s),
        )


@dataclass(frozen=True)
class ModelStatsJson(JsonObject):
    """What the requests to a model come to."""

    model_name: str
    """The model; empty for requests that named none of the library."""
    since: str | None
    """From when on they are counted; null: all that are kept."""
    requests: int
    """How many."""
    errors: int
    """How many of them failed; a client that leaves isn't an error."""
    prompt_tokens: int
    """Tokens in, as far as engines said."""
    completion_tokens: int
    """Tokens out, as far as engines said."""
    first_token_p50_s: float | None
    """The median of the seconds to the first token, over streams; null without one."""
    first_token_p95_s: float | None
    """The 95th percentile of them."""
    tokens_per_s: float | None
    """How fast tokens came after the first one; null where that isn't known."""
    last_at: str
    """When the last one came."""

    @classmethod
    def of(cls, stats: ModelStats, since: float | None) -> ModelStatsJson:
        """Return the object for a model's requests since a time."""
        return cls.like(
            stats,
            since=time_or_none(since),
            first_token_p50_s=_rounded(stats.first_token_p50_s),
            first_token_p95_s=_rounded(stats.first_token_p95_s),
            tokens_per_s=_rounded(stats.tokens_per_s),
            last_at=rfc3339(stats.last_at),
        )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)
