"""Leases as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject
from modelshelf.units import rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.leases import Lease


@dataclass(frozen=True)
class LeaseJson(JsonObject):
    """A program's or a person's hold on a model: while it lasts, no file of the model is deleted."""

    id: int
    """Its number, for releasing it."""
    model_name: str
    """The model that is held."""
    cache_path: str
    """The base of the model."""
    kind: str
    """`load`, `run`, `engine` or `manual`."""
    holder: str
    """Who holds it: a command and its pid."""
    expires_at: str
    """When it expires."""

    @classmethod
    def of(cls, lease: Lease) -> LeaseJson:
        """Return the object for a lease."""
        return cls.like(lease, expires_at=rfc3339(lease.expires_at))
