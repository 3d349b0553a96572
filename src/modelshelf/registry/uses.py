"""The recorded uses: which model was used when, and for how long."""

from __future__ import annotations

import sqlalchemy as sa

from modelshelf.registry.database import db_now
from modelshelf.registry.tables import models, uses


class UseTable:
    """The registry's table of uses."""

    _engine: sa.Engine

    def add_use(self, model_id: int, kind: str, duration_s: float) -> None:
        """Record that a model was loaded; does nothing if it was removed meanwhile."""
        with self._engine.begin() as connection:
            values = [models.c.id, sa.literal(kind), db_now(), sa.literal(duration_s)]
            there = sa.select(*values).where(models.c.id == model_id)
            connection.execute(sa.insert(uses).from_select(["model_id", "kind", "at", "duration_s"], there))
            counted = {"last_used_at": db_now(), "uses": models.c.uses + 1}
            connection.execute(sa.update(models).where(models.c.id == model_id).values(**counted))

    def uses_at(self, model_id: int) -> list[float]:
        """Return when a model was used, in seconds since 1970."""
        query = sa.select(uses.c.at).where(uses.c.model_id == model_id).order_by(uses.c.at)
        with self._engine.connect() as connection:
            return [float(at) for at in connection.scalars(query)]
