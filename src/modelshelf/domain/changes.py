"""A change that the registry recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """Something is new, changed or deleted."""

    id: int
    kind: str
    """model, job, tier or lease."""
    key: str
    """A model's name, a job's or a lease's id, a tier's base."""


def newest_of_each(changes: Iterable[Change]) -> list[Change]:
    """Return the newest change of each object, oldest first.

    >>> newest_of_each([Change(1, "job", "7"), Change(2, "model", "m"), Change(3, "job", "7")])
    [Change(id=2, kind='model', key='m'), Change(id=3, kind='job', key='7')]
    """
    newest = {(change.kind, change.key): change for change in changes}
    return sorted(newest.values(), key=lambda change: change.id)
