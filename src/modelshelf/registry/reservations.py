"""Reservations of space: what was admitted to a tier and isn't written yet, by the database's clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from modelshelf.domain.jobs import ReservedRow
from modelshelf.registry.database import db_now
from modelshelf.registry.rows import LEASE_S
from modelshelf.registry.tables import reservations, tiers


class Reservations:
    """Holds on space."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def all(self) -> list[ReservedRow]:
        """Return all reservations, including expired ones."""
        with self._engine.connect() as connection:
            return _reservations(connection)

    def admissions(self) -> dict[str, int]:
        """Return how often each tier was reserved on: what `add` compares."""
        with self._engine.connect() as connection:
            return {row.id: row.admissions for row in connection.execute(sa.select(tiers.c.id, tiers.c.admissions))}

    def add(
        self,
        tier_id: str,
        device: str,
        owner: str,
        decide: Callable[[Sequence[ReservedRow]], int],
        seen: Mapping[str, int] | None = None,
    ) -> int | None:
        """Reserve what `decide` returns; return the reservation's id.

        Args:
            tier_id: The tier.
            device: Its file system.
            owner: The process that will write.
            decide: Takes all reservations, returns the bytes to reserve, or raises to refuse; nothing is changed then.
            seen: What `admissions` returned before the disk was measured. If that has changed, nothing is decided
                and None is returned: bytes admitted since may have been written and released without being measured.

        **Concurrency:** the update of the tiers comes first, so that two of these never overlap, on any tier.
        """
        with self._engine.connect() as connection, connection.begin() as transaction:
            count = sa.update(tiers).values(admissions=tiers.c.admissions + 1)
            counted = connection.execute(count.returning(tiers.c.id, tiers.c.admissions))
            before = {row.id: row.admissions - 1 for row in counted}
            if seen is not None and before != seen:
                transaction.rollback()
                return None
            size_bytes = decide(_reservations(connection))
            values = {
                "tier_id": tier_id,
                "device": device,
                "remaining_bytes": size_bytes,
                "owner": owner,
                "expires_at": db_now() + LEASE_S,
            }
            added = connection.execute(sa.insert(reservations).values(**values).returning(reservations.c.id))
            return int(added.scalar_one())

    def shrink(self, reservation_id: int, remaining_bytes: int) -> bool:
        """Set how many bytes are still to be written, and that the owner lives; return whether it still exists."""
        change = {"remaining_bytes": max(0, remaining_bytes), "expires_at": db_now() + LEASE_S}
        with self._engine.begin() as connection:
            statement = sa.update(reservations).where(reservations.c.id == reservation_id).values(**change)
            return bool(connection.execute(statement).rowcount)

    def release(self, reservation_id: int) -> None:
        """Release a reservation."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(reservations).where(reservations.c.id == reservation_id))


def _reservations(connection: sa.Connection) -> list[ReservedRow]:
    columns = [reservations.c[name] for name in ("id", "tier_id", "device", "remaining_bytes", "owner")]
    expired = (reservations.c.expires_at < db_now()).label("expired")
    return [ReservedRow(*row[:5], bool(row[5])) for row in connection.execute(sa.select(*columns, expired))]
