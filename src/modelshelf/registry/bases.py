"""The bases that this library has used, each with the id of its tier."""

from __future__ import annotations

import sqlalchemy as sa

from modelshelf.domain.tiers import CUSTOM
from modelshelf.registry.tables import checks, damage, models, reservations, tiers

_REMEMBER = """
INSERT INTO tiers (id, cache_location, cache_path, admissions) VALUES (:id, :location, :base, 0)
ON CONFLICT (id) DO UPDATE SET cache_location = excluded.cache_location, cache_path = excluded.cache_path
"""


class Bases:
    """The used bases."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def custom(self) -> list[str]:
        """Return the bases of the custom tiers that hold models."""
        here = sa.select(models.c.cache_path).where(models.c.cache_location == CUSTOM).distinct()
        with self._engine.connect() as connection:
            return list(connection.scalars(here.order_by(models.c.cache_path)))

    def ids(self) -> dict[str, str]:
        """Return the used bases, path to tier id."""
        with self._engine.connect() as connection:
            return {path: tier_id for tier_id, path in connection.execute(sa.select(tiers.c.id, tiers.c.cache_path))}

    def remember(self, tier_id: str, cache_location: str, base: str) -> None:
        """Store a used base; a drive that is mounted elsewhere now keeps its id.

        Another tier that was there before is forgotten, with its reservations.
        """
        known = sa.select(tiers.c.id, tiers.c.cache_location).where(tiers.c.cache_path == base)
        with self._engine.connect() as connection:
            if connection.execute(known).all() == [(tier_id, cache_location)]:
                return  # nothing to write, perhaps on a disk where nothing can be written
        with self._engine.begin() as connection:
            gone = sa.select(tiers.c.id).where(tiers.c.cache_path == base, tiers.c.id != tier_id)
            connection.execute(sa.delete(reservations).where(reservations.c.tier_id.in_(gone)))
            connection.execute(sa.delete(tiers).where(tiers.c.cache_path == base, tiers.c.id != tier_id))
            values = {"id": tier_id, "location": cache_location, "base": base}
            connection.execute(sa.text(_REMEMBER), values)

    def forget(self, base: str) -> None:
        """Forget a base, with its reservations and findings."""
        with self._engine.begin() as connection:
            gone = sa.select(tiers.c.id).where(tiers.c.cache_path == base)
            connection.execute(sa.delete(reservations).where(reservations.c.tier_id.in_(gone)))
            for table in (checks, damage):
                connection.execute(sa.delete(table).where(table.c.tier_id.in_(gone)))
            connection.execute(sa.delete(tiers).where(tiers.c.cache_path == base))
