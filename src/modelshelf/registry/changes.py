"""What changed, in the order of the commits; who listens asks for it instead of comparing everything.

The triggers of the first migration write it, so that no statement can forget it.
"""

from __future__ import annotations

import sqlalchemy as sa

from modelshelf.domain.changes import Change
from modelshelf.registry.tables import changes


class Changes:
    """The last changes of the registry."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def newest(self) -> int:
        """Return the id of the newest change."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.max(changes.c.id))).scalar_one())

    def after(self, change_id: int) -> list[Change] | None:
        """Return the changes after one, oldest first; None where that one is kept no longer, or never was here."""
        query = sa.select(changes.c.id, changes.c.kind, changes.c.key).where(changes.c.id >= change_id)
        with self._engine.connect() as connection:
            found = [Change(*row) for row in connection.execute(query.order_by(changes.c.id))]
        return found[1:] if found and found[0].id == change_id else None
