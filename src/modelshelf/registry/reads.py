"""What other programs read: the readings that were judged, and the uses that they were."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from modelshelf.domain.reads import SLACK_S, Verdict
from modelshelf.domain.users import User
from modelshelf.registry.tables import models, reads, uses
from modelshelf.registry.uses import later_use

_KIND = "read"
"""Of a use in the ledger that another program made."""


class Reads:
    """The readings of models' files by other programs."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def judged(self) -> dict[int, float]:
        """Return when the last reading was that was judged, in seconds since 1970, by the model's id."""
        with self._engine.connect() as connection:
            return {int(model_id): float(at) for model_id, at in connection.execute(sa.select(reads))}

    def own_uses(self, model_ids: Collection[int], at: float) -> list[tuple[float, float]]:
        """Return from when to when uses through shelf lasted that a reading may belong to.

        A load's time is that of its end, and a request's that of its beginning: both spans count.

        Args:
            model_ids: The models of one placement.
            at: When it was read, in seconds since 1970.
        """
        lasted_s = uses.c.duration_s + SLACK_S
        near = (uses.c.at - lasted_s <= at) & (uses.c.at + lasted_s >= at)
        query = sa.select(uses.c.at, lasted_s).where(uses.c.model_id.in_(model_ids), uses.c.kind != _KIND, near)
        with self._engine.connect() as connection:
            return [(used_at - each_s, used_at + each_s) for used_at, each_s in connection.execute(query)]

    def note(self, found: Mapping[int, Verdict]) -> None:
        """Record readings, those that were uses as such, in one transaction.

        Args:
            found: By the model's id.
        """
        if not found:
            return
        with self._engine.begin() as connection:
            there = set(connection.scalars(sa.select(models.c.id).where(models.c.id.in_(found))))
            known = sorted(there)
            connection.execute(sa.delete(reads).where(reads.c.model_id.in_(known)))
            if known:
                rows = [{"model_id": number, "judged_at": found[number].read_at} for number in known]
                connection.execute(sa.insert(reads), rows)
            _add_uses(connection, [(number, at) for number in known if (at := found[number].used_at) is not None])


def _add_uses(connection: sa.Connection, used: Sequence[tuple[int, float]]) -> None:
    for model_id, at in used:
        same = models.c.id == model_id
        values = sa.select(models.c.id, models.c.model_name, sa.literal(_KIND), sa.literal(at), sa.literal(0.0))
        connection.execute(
            sa.insert(uses).from_select(["model_id", "model_name", "kind", "at", "duration_s"], values.where(same))
        )
        connection.execute(sa.update(models).where(same).values(**later_use(at, User.OTHER)))
