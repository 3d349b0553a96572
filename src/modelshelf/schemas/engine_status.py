"""A model that is served, or asked for, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.serving import EngineStatus


@dataclass(frozen=True)
class EngineStatusJson(JsonObject):
    """A model that is loaded, is about to be, or failed."""

    model_name: str
    """The model."""
    state: str
    """`cold` (it waits for room), `fetching`, `promoting`, `starting`, `ready`, `draining`, `asleep`, `stopped`,
    `failed`.
    """
    engine: str
    """The kind of program that serves it."""
    kind: str
    """What it is for: `generate`, `embed` or `rerank`."""
    cache_location: str | None
    """The tier that its files are on; null where it is registered no more."""
    memory_bytes: int
    """What its processes hold; what it needs, until it is ready; 0 where that isn't known."""
    in_flight: int
    """Requests that it answers now."""
    queued: int
    """Requests that wait for it."""
    pinned: bool
    """Whether it may not make room for another model."""
    keep_alive_s: float | None
    """How long it stays when it is idle; null: for ever."""
    unload_in_s: float | None
    """Seconds until the idle engine is unloaded, or falls asleep; null if it is busy or kept for ever."""
    load_s: float | None
    """The seconds that its start took; null until it is ready."""
    tokens_per_s: float | None
    """How fast tokens came in its last answer that tells; null before one."""
    detail: str
    """Why it failed last, in a sentence; empty where it didn't."""
    tail: Sequence[str]
    """The last lines that the failed one wrote."""

    @classmethod
    def of(
        cls, status: EngineStatus, cache_location: str | None, tokens_per_s: float | None = None
    ) -> EngineStatusJson:
        """Return what an engine has come to."""
        return cls.like(
            status,
            state=status.state.value,
            engine=status.backend,
            kind=status.kind.value,
            cache_location=cache_location,
            tokens_per_s=None if tokens_per_s is None else round(tokens_per_s, 1),
            memory_bytes=status.memory_bytes,
            keep_alive_s=None if status.keep_alive_s < 0 else status.keep_alive_s,
            unload_in_s=None if status.unload_in_s is None else round(max(0.0, status.unload_in_s), 1),
            detail=status.reason,
        )


@dataclass(frozen=True)
class UnloadedJson(JsonObject):
    """A model that was unloaded."""

    model_name: str
    """The model."""
