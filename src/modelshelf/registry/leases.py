"""The leases, by the database's clock."""

from __future__ import annotations

import sqlalchemy as sa

from modelshelf.domain.leases import Lease
from modelshelf.registry.database import db_now
from modelshelf.registry.tables import leases, models


class Leases:
    """Holds on placements."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def take(self, model_id: int, base: str, *, kind: str, holder: str, owner: str, ttl_s: float) -> int | None:
        """Hold a placement; return the lease's id, or None if the model was removed meanwhile."""
        texts = {"cache_path": base, "kind": kind, "holder": holder, "owner": owner}
        values = [models.c.id, *map(sa.literal, texts.values()), db_now() + ttl_s]
        there = sa.select(*values).where(models.c.id == model_id)
        with self._engine.begin() as connection:
            columns = ["model_id", *texts, "expires_at"]
            return connection.execute(sa.insert(leases).from_select(columns, there).returning(leases.c.id)).scalar()

    def renew(self, lease_id: int, ttl_s: float) -> None:
        """Renew it for so many seconds from now."""
        with self._engine.begin() as connection:
            change = {"expires_at": db_now() + ttl_s}
            connection.execute(sa.update(leases).where(leases.c.id == lease_id).values(**change))

    def release(self, lease_id: int) -> bool:
        """Release it; return whether it existed."""
        with self._engine.begin() as connection:
            return bool(connection.execute(sa.delete(leases).where(leases.c.id == lease_id)).rowcount)

    def all(self) -> list[Lease]:
        """Return all leases, including expired ones."""
        held = [leases.c[name] for name in ("cache_path", "kind", "holder", "owner", "expires_at")]
        expired = (leases.c.expires_at < db_now()).label("expired")
        query = sa.select(leases.c.id, models.c.id, models.c.model_name, *held, expired)
        query = query.join(models, models.c.id == leases.c.model_id).order_by(leases.c.id)
        with self._engine.connect() as connection:
            return [Lease(*row[:8], bool(row[8])) for row in connection.execute(query)]
