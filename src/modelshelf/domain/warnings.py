"""What a person is warned of before it hurts, as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelshelf.domain.tiers import TierStatus
from modelshelf.units import format_size

LEAST_FREE_BYTES = 5 * 10**9
"""With less free space a drive is nearly full: a model of usual size doesn't fit, and other programs begin to fail."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to warn of."""

    warning: str
    """`over_threshold`, `nearly_full` or `offline`."""
    cache_location: str
    cache_path: str
    detail: str
    """What it means, in a sentence."""
    state: str = "on"

    @property
    def key(self) -> str:
        """What identifies it as long as it lasts."""
        return f"{self.warning} {self.cache_path}"


def warnings_of(status: TierStatus) -> Iterator[Warned]:
    """Yield what there is to warn of on a tier."""

    def warned(what: str, detail: str) -> Warned:
        return Warned(what, status.location, status.base, detail)

    if not status.online:
        yield warned("offline", status.detail)
        return
    if status.warning:
        limit = format_size(status.limit_bytes or 0)
        yield warned("over_threshold", f"{status.location} holds {format_size(status.held_bytes)} of {limit}.")
    if status.free_bytes < LEAST_FREE_BYTES:
        yield warned("nearly_full", f"The drive of {status.base} has {format_size(status.free_bytes)} free.")
