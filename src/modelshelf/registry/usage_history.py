"""What tiers held over time."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from modelshelf.domain.usage_history import DAY_H, KEPT_DAYS, KEPT_HOURS, Point, is_news
from modelshelf.registry.database import check_room
from modelshelf.registry.tables import usage_history

_NOTE = """
INSERT INTO usage_history (tier_id, hour, usage_bytes, limit_bytes) VALUES (:tier_id, :hour, :usage, :limit)
ON CONFLICT (tier_id, hour) DO UPDATE SET usage_bytes = excluded.usage_bytes, limit_bytes = excluded.limit_bytes
"""
_THIN = """
DELETE FROM usage_history WHERE tier_id = :tier_id AND (hour < :oldest OR (hour < :whole AND hour NOT IN (
    SELECT max(hour) FROM usage_history WHERE tier_id = :tier_id GROUP BY hour / :day)))
"""


class UsageHistory:
    """The points of each tier, by the id in its marker."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def note(self, found: Mapping[str, Point]) -> None:
        """Record what tiers hold now, as far as that is news; of an hour the last point stays.

        Raises:
            OutOfSpace: The registry's disk is nearly full: its reserve is for what frees space.
        """
        with self._engine.connect() as connection:
            last = {tier_id: _last(connection, tier_id) for tier_id in found}
        news = {tier_id: point for tier_id, point in found.items() if is_news(last[tier_id], point)}
        if not news:
            return
        check_room(self._engine)
        with self._engine.begin() as connection:
            for tier_id, point in news.items():
                values = {"hour": point.hour, "usage": point.usage_bytes, "limit": point.limit_bytes}
                connection.execute(sa.text(_NOTE), {"tier_id": tier_id, **values})
                kept = {"oldest": point.hour - KEPT_DAYS * DAY_H, "whole": point.hour - KEPT_HOURS, "day": DAY_H}
                connection.execute(sa.text(_THIN), {"tier_id": tier_id, **kept})

    def points(self, tier_id: str, since_hour: int) -> list[Point]:
        """Return a tier's points from an hour on, oldest first, with the last one before it."""
        at = usage_history.c.hour
        columns = (at, usage_history.c.usage_bytes, usage_history.c.limit_bytes)
        mine = usage_history.c.tier_id == tier_id
        before = sa.select(sa.func.max(at)).where(mine, at < since_hour).scalar_subquery()
        query = sa.select(*columns).where(mine, at >= sa.func.coalesce(before, since_hour)).order_by(at)
        with self._engine.connect() as connection:
            return [Point(*row) for row in connection.execute(query)]


def _last(connection: sa.Connection, tier_id: str) -> Point | None:
    columns = (usage_history.c.hour, usage_history.c.usage_bytes, usage_history.c.limit_bytes)
    query = sa.select(*columns).where(usage_history.c.tier_id == tier_id).order_by(usage_history.c.hour.desc())
    row = connection.execute(query.limit(1)).first()
    return None if row is None else Point(*row)
