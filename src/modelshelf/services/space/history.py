"""What tiers held over time: noted after changes and by servers, read by people."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.ports import Clock
from modelshelf.domain.tiers import TierStatus
from modelshelf.domain.usage_history import DAY_H, HOUR_S, Point, TierHistory
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base
from modelshelf.store.tiers import marker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HistoryKeeper:
    """Notes and reads what tiers held."""

    registry: Registry
    tiers: TierService
    clock: Clock

    def after_change(self) -> None:
        """Measure the tiers, and note and keep what they hold; what can't be noted is left to the next change."""
        try:
            self.note(self.tiers.status(tier, keep=True) for tier in self.tiers.all())
        except (ShelfError, OSError) as err:
            _log.warning("usage_not_noted", extra={"why": str(err)})

    def note(self, statuses: Iterable[TierStatus]) -> None:
        """Note what tiers hold as they were measured; those that are offline keep what was noted."""
        hour = int(self.clock.now() // HOUR_S)
        found: dict[str, Point] = {}
        for status in statuses:
            tier_id = marker.read_id(Base(Path(status.tier.base))) if status.online else None
            if tier_id:
                found[tier_id] = Point(hour, status.usage.apparent_bytes, status.tier.limit_bytes)
        self.registry.usage_history.note(found)

    def of_tiers(self, days: int) -> list[TierHistory]:
        """Return what each tier held in the last days, fastest first, with the last point before them."""
        since = int(self.clock.now() // HOUR_S) - days * DAY_H
        ids = self.registry.tier_ids()
        found = []
        for tier in self.tiers.all():
            tier_id = ids.get(tier.base) or marker.read_id(Base(Path(tier.base)))
            points = self.registry.usage_history.points(tier_id, since) if tier_id else []
            found.append(TierHistory(tier.location, tier.base, points))
        return found
