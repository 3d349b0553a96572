"""Warnings as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.schemas.json_object import JsonObject


@dataclass(frozen=True)
class WarningJson(JsonObject):
    """Something that a person is warned of."""

    warning: str
    """`over_threshold`: a tier passed CACHE_WARNING_THRESHOLD; `nearly_full`: its drive has little space; `offline`."""
    cache_location: str
    """The tier."""
    cache_path: str
    """Its base."""
    detail: str
    """What it means, in a sentence."""
    state: str
    """`on`; an event says `removed` when it is over."""
