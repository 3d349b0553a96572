"""The running servers, each of which keeps saying that it runs."""

from __future__ import annotations

import sqlalchemy as sa

from modelshelf.domain.jobs import Server
from modelshelf.registry.database import db_now
from modelshelf.registry.rows import LEASE_S
from modelshelf.registry.tables import servers


class Servers:
    """The servers of this registry."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def beat(self, owner: str, url: str) -> None:
        """Record that a server runs; those silent for an hour are deleted."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(servers).where(servers.c.heartbeat_at < db_now() - 3600))
            change = sa.update(servers).where(servers.c.owner == owner).values(url=url, heartbeat_at=db_now())
            if not connection.execute(change).rowcount:
                values = {"owner": owner, "url": url, "started_at": db_now(), "heartbeat_at": db_now()}
                connection.execute(sa.insert(servers).values(**values))

    def leave(self, owner: str) -> None:
        """Record that a server ends."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(servers).where(servers.c.owner == owner))

    def all(self) -> list[Server]:
        """Return the servers that reported within the last minute."""
        query = sa.select(servers.c.owner, servers.c.url, servers.c.started_at)
        query = query.where(servers.c.heartbeat_at > db_now() - LEASE_S).order_by(servers.c.started_at)
        with self._engine.connect() as connection:
            return [Server(*row) for row in connection.execute(query)]
