"""A tier's bar: what it holds by kind on its own scale, with the limit as a line. Pure geometry, in per cent."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.schemas.tiers import TierJson
from modelshelf.server.web import words

LIMIT_AT = 94.0
"""Where the limit stands: behind it is room to show what is past it."""
_LEAST = 0.25
"""A segment keeps so much, however small it is, so that it can be seen."""
_KINDS = ("shared", "partial", "orphans", "xet", "transformers", "other")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar, and its line in the legend."""

    label: str
    size: str
    x: float
    width: float
    fill: str
    """A class that fills it; empty where it has a pattern."""
    pattern: str = ""
    """The id of its pattern."""
    nailed: bool = False
    """Whether a line below says that it is pinned."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A tier's bar."""

    segments: tuple[Segment, ...]
    past: Segment | None
    """What is past the limit."""
    warn_at: float | None
    """Where the warning threshold stands; None without a limit."""
    warn: str
    label: str
    """What it shows, in a sentence."""
    end_at: float
    """Where the limit, or else the disk, ends."""
    has_limit: bool


def bar_of(tier: TierJson, pinned_bytes: int, warn_share: float, css: str) -> Bar:
    """Return the bar of a tier that is online.

    Args:
        tier: The tier.
        pinned_bytes: How much of its models is pinned.
        warn_share: The fraction of its limit above which it has a warning.
        css: The class of its colour: `t1`, `t2` or `t3`.
    """
    held = tier.usage_bytes + tier.reserved_bytes
    whole = tier.limit_bytes if tier.limit_bytes is not None else held + tier.free_bytes
    whole = max(whole, 1)
    scale = LIMIT_AT / whole
    segments, at = [], 0.0
    for label, size_bytes, fill, pattern, nailed in _parts(tier, pinned_bytes, css):
        width = max(size_bytes * scale, _LEAST)
        width = max(0.0, min(width, 100 - at))
        segments.append(Segment(label, words.size(size_bytes), round(at, 2), round(width, 2), fill, pattern, nailed))
        at += width
    past = None
    if tier.limit_bytes is not None and held > tier.limit_bytes:
        width = min(100 - LIMIT_AT, max((held - tier.limit_bytes) * scale, _LEAST))
        past = Segment("past the limit", words.size(held - tier.limit_bytes), LIMIT_AT, round(width, 2), "f-bad")
    return Bar(
        segments=tuple(segments),
        past=past,
        warn_at=None if tier.limit_bytes is None else round(LIMIT_AT * warn_share, 2),
        warn=f"warn {words.percent(warn_share, 1)}",
        label=_sentence(tier, held),
        end_at=LIMIT_AT,
        has_limit=tier.limit_bytes is not None,
    )


def _parts(tier: TierJson, pinned_bytes: int, css: str) -> list[tuple[str, int, str, str, bool]]:
    """Return label, bytes, fill, pattern and whether it is pinned of each part that isn't empty."""
    fills = {
        "shared": (f"f-{css}-1", ""),
        "partial": ("", f"h{css[1]}"),
        "orphans": ("f-warn", ""),
        "xet": ("f-g1", ""),
        "transformers": ("f-g1", ""),
        "other": ("f-g2", ""),
    }
    models = tier.breakdown.get("models", 0)
    pinned = min(pinned_bytes, models)
    parts = [("models", models - pinned, f"f-{css}-0", "", False), ("pinned", pinned, f"f-{css}-0", "", True)]
    parts += [(kind, tier.breakdown.get(kind, 0), *fills[kind], False) for kind in _KINDS]
    parts.append(("reserved", tier.reserved_bytes, "", f"r{css[1]}", False))
    return [part for part in parts if part[1] > 0]


def _sentence(tier: TierJson, held: int) -> str:
    name = words.tier_name(tier.cache_location, tier.cache_path)
    reserved = f" and {words.size(tier.reserved_bytes)} reserved" if tier.reserved_bytes else ""
    if tier.limit_bytes is None:
        return f"{name}: {words.size(tier.usage_bytes)} used{reserved}, {words.size(tier.free_bytes)} free on its disk"
    past = held - tier.limit_bytes
    behind = f", {words.size(past)} past the limit" if past > 0 else ""
    return f"{name}: {words.size(tier.usage_bytes)} used{reserved} of {words.limit(tier.limit_bytes)}{behind}"
