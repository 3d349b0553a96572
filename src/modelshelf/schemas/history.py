"""What tiers held over time, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject
from modelshelf.units import rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.usage_history import TierHistory

_HOUR_S = 3600


@dataclass(frozen=True)
class PointJson(JsonObject):
    """What a tier held in an hour, at the end."""

    at: str
    """The beginning of the hour."""
    usage_bytes: int
    """What it held; it stays until the next point."""
    limit_bytes: int | None
    """Its limit then; null if only its disk limited it."""


@dataclass(frozen=True)
class TierHistoryJson(JsonObject):
    """What a tier held over time."""

    cache_location: str
    """`primary`, `secondary` or `custom`."""
    cache_path: str
    """Its base."""
    points: Sequence[PointJson]
    """Oldest first, one an hour at most, and of days before the last month one each; only where something changed."""

    @classmethod
    def of(cls, history: TierHistory) -> TierHistoryJson:
        """Return the object for a tier."""
        points = [PointJson(rfc3339(one.hour * _HOUR_S), one.usage_bytes, one.limit_bytes) for one in history.points]
        return cls(history.location, history.base, points)
