"""The API keys, of which only the SHA-256 is kept: whoever reads the registry learns none."""

from __future__ import annotations

import sqlalchemy as sa

from modelshelf.domain.keys import ApiKey, Scope
from modelshelf.registry.database import db_now
from modelshelf.registry.tables import api_keys


class Keys:
    """The API keys of this registry."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, name: str, digest: str, scopes: frozenset[Scope]) -> bool:
        """Add a key; returns False where the name is taken.

        Args:
            name: Whom it is for.
            digest: The SHA-256 of the key, in hex.
            scopes: What it may be used for.
        """
        values = {"name": name, "digest": digest, "scopes": ",".join(sorted(scopes)), "created_at": db_now()}
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(api_keys).values(**values))
        except sa.exc.IntegrityError:
            return False
        return True

    def revoke(self, name: str) -> bool:
        """Delete a key; returns whether it was there."""
        with self._engine.begin() as connection:
            return bool(connection.execute(sa.delete(api_keys).where(api_keys.c.name == name)).rowcount)

    def all(self) -> dict[str, ApiKey]:
        """Return all keys by their digest, the oldest first."""
        held = [api_keys.c[name] for name in ("digest", "name", "scopes", "created_at", "last_used_at")]
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*held).order_by(api_keys.c.id)).all()
        return {digest: ApiKey(name, _scopes(scopes), made, used) for digest, name, scopes, made, used in rows}

    def used(self, digests: list[str]) -> None:
        """Note that keys were used now."""
        with self._engine.begin() as connection:
            change = sa.update(api_keys).where(api_keys.c.digest.in_(digests)).values(last_used_at=db_now())
            connection.execute(change)


def _scopes(text: str) -> frozenset[Scope]:
    """Return the scopes of a row; a word that is none counts for nothing."""
    return frozenset(Scope(word) for word in text.split(",") if word in set(Scope))
