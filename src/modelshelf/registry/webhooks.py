"""How far each webhook was told of the changes, and which process tells it."""

from __future__ import annotations

import sqlalchemy as sa

from modelshelf.registry.database import db_now
from modelshelf.registry.rows import LEASE_S
from modelshelf.registry.tables import webhooks

_BEGIN = """
INSERT INTO webhooks (target, position, owner, expires_at)
SELECT :target, max(id), '', 0 FROM changes WHERE true ON CONFLICT (target) DO NOTHING
"""


class Webhooks:
    """The webhooks' positions."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def take(self, target: str, owner: str) -> int | None:
        """Return after which change a webhook is to be told, and take it on for a minute; None if another one has it.

        A new webhook begins with what comes from now on.

        Args:
            target: The digest of its address, which may be a secret.
            owner: Who wants to tell it.
        """
        free = (webhooks.c.owner == owner) | (webhooks.c.expires_at < db_now())
        statement = (
            sa.update(webhooks)
            .where(webhooks.c.target == target, free)
            .values(owner=owner, expires_at=db_now() + LEASE_S)
            .returning(webhooks.c.position)
        )
        with self._engine.begin() as connection:
            connection.execute(sa.text(_BEGIN), {"target": target})
            found = connection.scalar(statement)
        return None if found is None else int(found)

    def told(self, target: str, owner: str, position: int) -> None:
        """Record that a webhook was told of all changes up to one, if it is still the owner's."""
        mine = (webhooks.c.target == target) & (webhooks.c.owner == owner)
        with self._engine.begin() as connection:
            connection.execute(sa.update(webhooks).where(mine).values(position=position, expires_at=db_now() + LEASE_S))

    def owner(self, target: str) -> str:
        """Return who tells a webhook; empty for nobody."""
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(webhooks.c.owner).where(webhooks.c.target == target)) or ""

    def leave(self, owner: str) -> None:
        """Let another process go on at once with an owner's webhooks."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(webhooks).where(webhooks.c.owner == owner).values(owner="", expires_at=0.0))
