"""An engine's or a program's expiring hold on a placement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """One hold. No file of the placement is deleted while it is valid."""

    id: int
    model_id: int
    model_name: str
    cache_path: str
    """The base of the placement, by the holder's path."""
    kind: str
    """load, run, engine or manual."""
    holder: str
    """Who holds it, for people: a command and its pid."""
    owner: str
    """The process's identity, see `services.jobs.process`; empty for a lease that a person took."""
    expires_at: float
    """Seconds since 1970, by the database's clock."""
    expired: bool
