"""Which models are listed, in which order, and what lies beside them that has no name."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from modelshelf.domain.names import RepoId
from modelshelf.errors import BadInput


class Order(enum.StrEnum):
    """What comes first."""

    NAME = "name"
    SIZE = "size"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a person wants to see of the models."""

    text: str = ""
    """What the name or the repository has in it, in whatever case; empty: all models."""
    order: Order = Order.NAME
    """By name, the largest first, or the one used last first."""
    after: str = ""
    """The name of the model after which they go on; empty: from the beginning."""
    limit: int | None = None
    """How many at most; None: all."""


EVERYTHING = Listing()


def order_of(text: str) -> Order:
    """Return the order of a word.

    >>> order_of("size")
    <Order.SIZE: 'size'>

    Raises:
        BadInput: It is none.
    """
    try:
        return Order(text)
    except ValueError:
        raise BadInput(f"Models can't be sorted by {text!r:.40}.", hint="Sort by name, size or used.") from None


@dataclass(frozen=True, slots=True)
class UnregisteredRepo:
    """A repository on a tier that no model is registered for."""

    hf_path: RepoId
    cache_location: str
    """Its tier: primary, secondary or custom."""
    cache_path: str
    """The base of its tier."""
    size_bytes: int
    """What lies in its folder."""
