"""Adapters and their base models: which base a tier's adapters need, and since when it counts as used. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import ModelName, RepoId
from modelshelf.domain.tiers import PRIMARY

Placement = tuple[str, str]
"""A repository and a commit."""


@dataclass(frozen=True, slots=True)
class Kin:
    """What a model is to others: an adapter of one, or the base of some."""

    adapter_of: RepoId | None = None
    """The repository of the base model that it changes; None if it isn't an adapter."""
    bases: tuple[ModelName, ...] = ()
    """The registered models that it can be loaded with."""
    base_of: tuple[ModelName, ...] = ()
    """The registered adapters of it, by name."""


@dataclass(frozen=True, slots=True)
class Need:
    """Why a base model is needed on a tier."""

    adapters: tuple[ModelName, ...]
    """By name."""
    used_at: float
    """When the last of them was used, or came if none was, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What says of a tier's placements that they are used, beside their own rows in the registry."""

    used_at: Mapping[Placement, float] = field(default_factory=dict)
    """When other programs read them, in seconds since 1970."""
    needs: Mapping[Placement, Need] = field(default_factory=dict)
    """The adapters that need them."""

    def later(self, place: Placement, used_at: float) -> float:
        """Return when a placement was used last, its own use being known: a base also when an adapter of it was."""
        need = self.needs.get(place)
        return max(used_at, self.used_at.get(place, 0.0), need.used_at if need else 0.0)

    def needed_by(self, place: Placement) -> tuple[ModelName, ...]:
        """Return the adapters that need a placement."""
        need = self.needs.get(place)
        return need.adapters if need else ()


def need_of(adapters: Iterable[ModelRow], location: str) -> Need | None:
    """Return why a tier's placement is needed, by the adapters of it; None if it isn't.

    An adapter on the tier itself, or on a faster one, would be apart from a base that leaves. One on a slower tier
    wouldn't be.

    Args:
        adapters: The adapters of the placement, wherever they are.
        location: The placement's tier.
    """
    here = sorted(
        (row for row in adapters if row.cache_location in (PRIMARY, location)), key=lambda row: row.model_name
    )
    if not here:
        return None
    return Need(tuple(row.model_name for row in here), max(row.last_used_at or row.arrived_at for row in here))


def preferred(bases: Sequence[ModelRow], made_from: Sequence[ModelRow], gguf: str) -> Sequence[ModelRow]:
    """Return the models of which an adapter in GGUF takes one as its base: only a GGUF, of the repository that it
    names or made from that; without any, whatever is registered.

    Args:
        bases: The models of the repository that it names.
        made_from: The GGUF models that were made from this repository.
        gguf: The format.
    """
    return [row for row in bases if row.format == gguf] or made_from or bases
