"""What people set of how engines are shared."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.stall import LEAST_PATIENCE_S


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of sharing engines; `services/serving/design.md` has the others."""

    max_loaded: int = 3
    """MAX_LOADED: how many engines of a kind there may be."""
    queue_limit: int = 256
    """QUEUE_LIMIT: how many requests may wait for one model."""
    keep_alive_s: float = 300.0
    """KEEP_ALIVE: how long an idle engine stays; negative: for ever."""
    load_wait_s: float = 120.0
    """LOAD_WAIT_S: how long a request waits that isn't told of the progress."""
    hangs_after_s: float = LEAST_PATIENCE_S
    """How long an engine may give no sign of life while it should answer."""
    fair_s: float = 10.0
    """How long an engine may go on answering while others wait for its room."""
    sleep_s: float = 3600.0
    """How long an engine sleeps that nobody asks."""
