"""The results of verify: when which blob was good, so that reading it again can wait, and which is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from modelshelf.domain.names import Digest
from modelshelf.registry.database import db_now
from modelshelf.registry.tables import checks, damage


class VerifiedBlobs:
    """The verified blobs of each tier."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, tier_id: str, stamps: Mapping[Digest, str]) -> None:
        """Record blobs whose bytes were just found to match their names.

        Args:
            tier_id: The tier.
            stamps: Digest to the size and mtime that the file had; see `store.repos.scan.stamp`.
        """
        if not stamps:
            return
        rows = [{"tier_id": tier_id, "digest": digest, "stamp": stamp} for digest, stamp in stamps.items()]
        with self._engine.begin() as connection:
            self._delete(connection, tier_id, stamps)
            connection.execute(sa.insert(checks).values(verified_at=db_now()), rows)

    def add_damage(self, tier_id: str, stamps: Mapping[Digest, str]) -> None:
        """Record blobs whose bytes don't match their names; `stamps` as in `add`."""
        if not stamps:
            return
        rows = [{"tier_id": tier_id, "digest": digest, "stamp": stamp} for digest, stamp in stamps.items()]
        with self._engine.begin() as connection:
            self._delete(connection, tier_id, stamps)
            connection.execute(sa.insert(damage), rows)

    def forget(self, tier_id: str, digests: Iterable[str]) -> None:
        """Forget blobs that are gone."""
        with self._engine.begin() as connection:
            self._delete(connection, tier_id, digests)

    def damage(self) -> dict[tuple[str, str], str]:
        """Return the stamps of damaged blobs by tier id and digest."""
        with self._engine.connect() as connection:
            return {(row.tier_id, row.digest): row.stamp for row in connection.execute(sa.select(damage))}

    def _delete(self, connection: sa.Connection, tier_id: str, digests: Iterable[str]) -> None:
        gone = list(digests)
        for table in (checks, damage):
            if connection.execute(sa.select(sa.exists().where(table.c.tier_id == tier_id))).scalar_one():
                connection.execute(sa.delete(table).where(table.c.tier_id == tier_id, table.c.digest.in_(gone)))

    def of_tier(self, tier_id: str, since: float | None = None) -> dict[Digest, str]:
        """Return digest to stamp of the blobs verified on a tier.

        Args:
            tier_id: The tier.
            since: Leave out what was verified before, in seconds since 1970 by the database's clock.
        """
        query = sa.select(checks.c.digest, checks.c.stamp).where(checks.c.tier_id == tier_id)
        if since is not None:
            query = query.where(checks.c.verified_at >= since)
        with self._engine.connect() as connection:
            return {Digest(row.digest): str(row.stamp) for row in connection.execute(query)}
