"""API keys as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject, time_or_none
from modelshelf.units import rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.keys import ApiKey


@dataclass(frozen=True)
class KeyJson(JsonObject):
    """A key of the server; the key itself is kept nowhere."""

    name: str
    """Whom or what it was made for."""
    scopes: list[str]
    """What it may be used for: `read`, `infer`, `manage`."""
    created_at: str
    """When it was made."""
    last_used_at: str | None
    """When a server last took it, to the minute; null: never."""

    @classmethod
    def of(cls, key: ApiKey) -> KeyJson:
        """Return a key."""
        used = time_or_none(key.last_used_at)
        return cls(key.name, sorted(key.scopes), rfc3339(key.created_at), used)
