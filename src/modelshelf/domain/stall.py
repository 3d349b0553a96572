"""When to give up on a start: not after a time, but after a time without progress."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_PATIENCE_S = 60.0
"""What an engine may take in silence, however small its model: it imports, compiles and warms up."""


def patience_s(model_bytes: int, rate_bytes_per_s: float | None) -> float:
    """Return how many seconds a start may go without progress: what the model takes at a tenth of its disk's speed.

    Args:
        model_bytes: The size of its files.
        rate_bytes_per_s: The speed that was measured of its tier; None where none was.

    >>> patience_s(5_000_000_000, 100e6), patience_s(5_000_000_000, None)
    (500.0, 60.0)
    """
    return max(LEAST_PATIENCE_S, model_bytes / (rate_bytes_per_s / 10) if rate_bytes_per_s else 0.0)


@dataclass(slots=True)
class StallWatch:
    """Watches anything by a figure that grows as long as it gets on."""

    patience_s: float
    since_s: float
    """When it last got on."""
    done: int = 0

    def is_stalled(self, now_s: float, done: int) -> bool:
        """Return whether a start hasn't got on for as long as it may.

        >>> watch = StallWatch(patience_s=60, since_s=0)
        >>> watch.is_stalled(50, 1_000), watch.is_stalled(100, 1_000), watch.is_stalled(110, 1_000)
        (False, False, True)

        Args:
            now_s: The time.
            done: How far it is: any number that only grows while it gets on.
        """
        if done > self.done:
            self.done, self.since_s = done, now_s
        return now_s - self.since_s >= self.patience_s
