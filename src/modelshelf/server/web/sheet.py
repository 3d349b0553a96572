"""A plan before it is carried out: what goes where, how many bytes, what stays; every plan has the same form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from modelshelf.schemas.tiers import TierJson
from modelshelf.server.web import words

_END = 96.0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, or stays."""

    icon: str
    verb: str
    name: str
    behind: str
    size: str
    small: str = ""
    """A line below: why, or when it was used."""


@dataclass(frozen=True, slots=True)
class Part:
    """Steps below one heading."""

    heading: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Change:
    """A tier before and after."""

    name: str
    css: str
    before: str
    after: str
    full: float
    """Width of what is there before and after, in per cent."""
    moving: float
    """Width of what comes or goes."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A field by which the plan is made anew."""

    label: str
    name: str
    value: str
    hint: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One of several ways."""

    name: str
    value: str
    title: str
    small: str
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A plan, or a question."""

    title: str
    action: str
    """Where the form goes."""
    back: str
    """The page behind it."""
    button: str = ""
    """Empty: there is nothing to do."""
    button_css: str = "pri"
    hidden: Sequence[tuple[str, str]] = ()
    parts: Sequence[Part] = ()
    changes: Sequence[Change] = ()
    options: Sequence[Option] = ()
    notes: Sequence[str] = ()
    summary: str = ""
    command: str = ""
    """The same in a terminal."""
    trouble: str = ""
    """Why nothing can be done, or what changed since the plan was shown."""
    hint: str = ""
    ask: Ask | None = None
    is_question: bool = False
    """A small dialog, because what it asks can't be undone."""
    typed: str = field(default="")
    """What has to be typed first; empty: nothing."""


def change_of(tier: TierJson, difference_bytes: int) -> Change:
    """Return a tier before and after a plan.

    Args:
        tier: The tier.
        difference_bytes: What comes to it; negative: what leaves it.
    """
    before = tier.usage_bytes + tier.reserved_bytes
    after = max(0, before + difference_bytes)
    whole = tier.limit_bytes if tier.limit_bytes is not None else before + tier.free_bytes
    scale = _END / max(whole, 1)
    full = min(100.0, min(before, after) * scale)
    moving = min(100.0 - full, abs(after - before) * scale)
    return Change(
        words.tier_name(tier.cache_location, tier.cache_path),
        words.tier_class(tier.cache_location),
        words.size(before),
        words.size(after),
        round(full, 2),
        round(max(moving, 0.5), 2),
    )
