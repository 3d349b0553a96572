"""When which blob was verified, so that reading every byte again can wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from modelshelf.registry.engine import db_now
from modelshelf.registry.tables import checks


class Checks:
    """The verified blobs of each tier."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, tier_id: str, stamps: Mapping[str, str]) -> None:
        """Note blobs whose bytes were just found to be what their names say.

        Args:
            tier_id: The tier.
            stamps: Digest to the size and mtime that the file had; see `store.scan.stamp`.
        """
        if not stamps:
            return
        rows = [{"tier_id": tier_id, "digest": digest, "stamp": stamp} for digest, stamp in stamps.items()]
        with self._engine.begin() as connection:
            ours = (checks.c.tier_id == tier_id) & checks.c.digest.in_(list(stamps))
            connection.execute(sa.delete(checks).where(ours))
            connection.execute(sa.insert(checks).values(verified_at=db_now()), rows)

    def forget(self, tier_id: str, digests: Iterable[str]) -> None:
        """Note that blobs are gone or damaged."""
        with self._engine.begin() as connection:
            ours = (checks.c.tier_id == tier_id) & checks.c.digest.in_(list(digests))
            connection.execute(sa.delete(checks).where(ours))

    def of_tier(self, tier_id: str, since: float | None = None) -> dict[str, str]:
        """Return digest to stamp of the blobs verified on a tier.

        Args:
            tier_id: The tier.
            since: Leave out what was verified before, in seconds since 1970 by the database's clock.
        """
        query = sa.select(checks.c.digest, checks.c.stamp).where(checks.c.tier_id == tier_id)
        if since is not None:
            query = query.where(checks.c.verified_at >= since)
        with self._engine.connect() as connection:
            return {str(row.digest): str(row.stamp) for row in connection.execute(query)}
