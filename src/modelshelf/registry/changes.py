"""Changes in the order of the commits, so that listeners needn't compare everything.

The triggers of `registry/fresh.py` write them, so that no statement can forget it.
"""

from __future__ import annotations

import sqlalchemy as sa

from modelshelf.domain.changes import Change
from modelshelf.registry.database import db_now
from modelshelf.registry.tables import changes

_FROM = (
    sa.select(changes.c.id, changes.c.kind, changes.c.key)
    .where(changes.c.id >= sa.bindparam("change_id"))
    .order_by(changes.c.id)
)
"""Built once, because a server asks twice a second, and building a statement takes longer than running it."""

_REPOS = sa.select(changes.c.hf_path).distinct().where(changes.c.id > sa.bindparam("change_id"))
_IS_KEPT = sa.select(sa.exists().where(changes.c.id == sa.bindparam("change_id")))


class Changes:
    """The last changes of the registry."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def newest(self) -> int:
        """Return the id of the newest change."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.max(changes.c.id))).scalar_one())

    def repos_after(self, change_id: int) -> frozenset[str] | None:
        """Return the repositories of the models that changed after a change, by its id.

        None if the registry doesn't keep that one any more, or never had it.
        """
        with self._engine.connect() as connection:
            found = connection.execute(_REPOS, {"change_id": change_id}).scalars().all()
            is_kept = connection.execute(
                _IS_KEPT, {"change_id": change_id}
            ).scalar_one()  # last: what is after it is too
        return frozenset(repo_id for repo_id in found if repo_id is not None) if is_kept else None

    def note(self, kind: str, key: str) -> None:
        """Record a change of what no other table holds.

        Args:
            kind: A kind of `domain.changes.Change`.
            key: Its key.
        """
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # the ids follow the order of the commits, as with the triggers
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7236108)"))
            connection.execute(sa.insert(changes).values(kind=kind, key=key, at=db_now()))

    def after(self, change_id: int) -> list[Change] | None:
        """Return the changes after one, oldest first; None if the registry doesn't have that one, or not any more."""
        with self._engine.connect() as connection:
            found = [Change(*row) for row in connection.execute(_FROM, {"change_id": change_id})]
        return found[1:] if found and found[0].id == change_id else None
