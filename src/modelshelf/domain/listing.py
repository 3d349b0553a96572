"""Which models are listed, in which order, and unregistered repositories beside them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from modelshelf.domain.names import RepoId
from modelshelf.errors import BadInput


class Order(enum.StrEnum):
    """The order of models."""

    NAME = "name"
    SIZE = "size"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a person wants to see of the models."""

    text: str = ""
    """A part of the name or the repository, in any letter case; empty: all models."""
    order: Order = Order.NAME
    """By name, largest first, or last used first."""
    after: str = ""
    """The name of the model before the first one; empty: from the beginning."""
    limit: int | None = None
    """The maximum number; None: all."""


EVERYTHING = Listing()


def order_of(text: str) -> Order:
    """Return an order by its name.

    >>> order_of("size")
    <Order.SIZE: 'size'>

    Raises:
        BadInput: There is no such order.
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
    """The bytes in its folder."""
