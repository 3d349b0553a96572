"""The ledger of uses: what one request to a model came to, and what many of them come to. Never what was said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from modelshelf.errors import BadInput
from modelshelf.units import parse_duration

CLIENT_LEFT = 499
"""The status of a request whose client left before its answer was over. Source: nginx."""
DAY_S = 86400.0
_WRITES = re.compile(rb'"(?:content|reasoning_content|reasoning|text|delta|arguments)"\s*:\s*"[^"]')
_BROKE = re.compile(rb'^(?:data|error): ?\{"error": ?\{', re.MULTILINE)
_PROMPT = re.compile(rb'"(?:prompt_tokens|input_tokens)"\s*:\s*(\d{1,15})')
_COMPLETION = re.compile(rb'"(?:completion_tokens|output_tokens)"\s*:\s*(\d{1,15})')
_TIMINGS = re.compile(rb'"(cache_n|prompt_n|predicted_n|predicted_per_second)"\s*:\s*(\d{1,15}(?:\.\d{1,20})?)')
"""Source: llama.cpp, `server_task_result`, which puts `timings` into every answer and the last event of a stream."""


@dataclass(frozen=True, slots=True)
class Use:
    """One request to a model, when it is over."""

    model_name: str
    """The library's name for it, or what was asked for where the library has no such model."""
    kind: str
    """What was asked, as `Endpoint` names it."""
    at: float
    """When it came, in seconds since 1970."""
    duration_s: float
    """From then to the end of the answer."""
    status: int
    """The HTTP status of the answer; of a stream that broke, what it would have been; 499: the client left."""
    error: str = ""
    """What kind of error it ended with, such as `engine-failed`; empty for none."""
    engine: str = ""
    """The backend that was asked; empty where it came to none."""
    cache_location: str = ""
    """The tier from which the engine was loaded."""
    prompt_tokens: int | None = None
    """Tokens in, as the engine counts them; None where it doesn't say."""
    completion_tokens: int | None = None
    """Tokens out, likewise."""
    first_token_s: float | None = None
    """From its coming to the first token of a stream."""
    tokens_per_s: float | None = None
    """How fast tokens came, without the time before the first."""
    key_name: str = ""
    """The key that it brought; empty without one."""
    request_id: str = ""
    """Its id in the log."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row of the ledger: a request; or a load, a run or the life of an engine, which have no status."""

    id: int
    model_name: str
    """The model's name now; its name then where it was removed."""
    kind: str
    at: float
    duration_s: float
    status: int | None
    error: str
    engine: str
    cache_location: str
    prompt_tokens: int | None
    completion_tokens: int | None
    first_token_s: float | None
    tokens_per_s: float | None
    key_name: str
    request_id: str


@dataclass(frozen=True, slots=True)
class UseFilter:
    """Which rows of the ledger are wanted, newest first."""

    model_name: str | None = None
    since: float | None = None
    """In seconds since 1970."""
    after: int | None = None
    """Only rows older than the one of this id: the next page."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ModelStats:
    """What the requests to one model come to."""

    model_name: str
    """Empty: the requests that named no model of the library."""
    requests: int
    errors: int
    """Those that failed; a client that leaves isn't an error."""
    prompt_tokens: int
    completion_tokens: int
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    tokens_per_s: float | None
    """Tokens out by the time that they took to come."""
    last_at: float
    """When the last one came, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What an engine says of an answer."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_per_s: float | None = None


def figures_in(said: bytes) -> Figures:
    """Return the figures in an answer, or in its beginning and end; the last ones count.

    In a text within JSON quotes are escaped, so that none of it looks like a figure.

    >>> figures_in(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}')
    Figures(prompt_tokens=3, completion_tokens=5, tokens_per_s=None)
    """
    told = {name: float(number) for name, number in _TIMINGS.findall(said)} if b'"timings"' in said else {}
    prompt, completion = _last(_PROMPT, said), _last(_COMPLETION, said)
    if prompt is None and b"prompt_n" in told:
        prompt = int(told[b"prompt_n"] + told.get(b"cache_n", 0))
    if completion is None and b"predicted_n" in told:
        completion = int(told[b"predicted_n"])
    return Figures(prompt, completion, told.get(b"predicted_per_second") or None)


def writes(chunk: bytes) -> bool:
    """Return whether a piece of a stream has something of the answer in it.

    >>> writes(b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}')
    False
    >>> writes(b'data: {"choices":[{"delta":{"content":"Hi"}}]}')
    True
    """
    return _WRITES.search(chunk) is not None


def breaks(said: bytes) -> bool:
    """Return whether the end of a stream says that the engine failed.

    >>> breaks(b'data: {"error": {"message": "It fell over."}}'), breaks(b'data: {"error":null}')
    (True, False)
    """
    return _BROKE.search(said) is not None


def rate_of(tokens: int | None, first_s: float | None, duration_s: float) -> float | None:
    """Return how many tokens a second came after the first one; None where that isn't known.

    >>> rate_of(11, 0.5, 2.5), rate_of(1, 0.5, 0.5), rate_of(None, 0.5, 2.5)
    (5.0, None, None)
    """
    if tokens is None or first_s is None or tokens < 2 or duration_s <= first_s:
        return None
    return (tokens - 1) / (duration_s - first_s)


def parse_since(text: str, now_s: float) -> float:
    """Return the time that a person means by `7d`, or by a time in RFC 3339, in seconds since 1970.

    >>> parse_since("1h", 7200.0), parse_since("1970-01-01T00:00:10Z", 0.0)
    (3600.0, 10.0)

    Raises:
        BadInput: It is neither.
    """
    try:
        return max(0.0, now_s - parse_duration(text))
    except ValueError:
        pass
    try:
        then = datetime.fromisoformat(text)
        return max(0.0, (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise BadInput(
            f"{text!r:.60} isn't a time.", hint="Use a duration such as 7d, or 2026-01-31T12:00:00Z.", param="since"
        ) from None


def _last(pattern: re.Pattern[bytes], said: bytes) -> int | None:
    found = pattern.findall(said)
    return int(found[-1]) if found else None
