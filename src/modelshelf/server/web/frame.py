"""What stands around every page: the way to the others, and the tiers at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from modelshelf.schemas.tiers import TierJson
from modelshelf.server.web import words
from modelshelf.server.web.look import Look

_END = 96.0
"""Where the limit stands in the small bars, in per cent."""
_LEAST = 0.8


@dataclass(frozen=True, slots=True)
class Link:
    """A page in the navigation."""

    key: str
    name: str
    path: str
    badge: str = ""
    needs: bool = False
    """Whether the badge asks for a decision."""


@dataclass(frozen=True, slots=True)
class RailTier:
    """A tier in the sidebar."""

    key: str
    name: str
    css: str
    text: str
    """What it holds, or why it isn't there."""
    used: float
    reserved: float
    """Widths in per cent."""
    online: bool
    has_limit: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a page."""

    title: str
    current: str
    links: Sequence[Link]
    more: Sequence[Link]
    change_id: int = 0
    """The newest change that the page shows: it wants to hear of those after it."""
    rail: Sequence[RailTier] = ()
    theme: str = ""
    """`light` or `dark`; empty: as the system has it."""
    address: str = ""
    can_log_out: bool = False
    twins: Sequence[tuple[str, str]] = field(default=())
    """How to get the page's numbers elsewhere: what with, and the words."""


PAGES = {
    "storage": ("Storage", "/"),
    "models": ("Models", "/models"),
    "add": ("Add", "/add"),
    "activity": ("Activity", "/activity"),
    "running": ("Running", "/running"),
    "playground": ("Playground", "/playground"),
    "tools": ("Tools", "/tools"),
    "doctor": ("Doctor", "/doctor"),
    "settings": ("Settings", "/settings"),
}
_MORE = ("tools", "doctor", "settings")


def links_of(look: Look | None, running: int | None = None) -> tuple[list[Link], list[Link]]:
    """Return the links to the pages, and those below the line.

    Args:
        look: The library; None where it isn't known, as on an error.
        running: How many engines run.
    """
    badges = {"models": f"{len(look.models):,}", "activity": _activity(look)} if look is not None else {}
    if running:
        badges["running"] = str(running)
    needs = look is not None and bool(look.failed)
    found = [
        Link(key, name, path, badges.get(key, ""), needs=key == "activity" and needs)
        for key, (name, path) in PAGES.items()
    ]
    return [link for link in found if link.key not in _MORE], [link for link in found if link.key in _MORE]


def _activity(look: Look) -> str:
    count = len(look.failed) or len(look.jobs)
    return str(count) if count else ""


def rail_of(tiers: Sequence[TierJson]) -> list[RailTier]:
    """Return the tiers for the sidebar."""
    return [_rail_tier(tier) for tier in tiers]


def _rail_tier(tier: TierJson) -> RailTier:
    key = tier.cache_path if tier.cache_location == "custom" else tier.cache_location
    name, css = words.tier_name(tier.cache_location, tier.cache_path), words.tier_class(tier.cache_location)
    if not tier.online:
        return RailTier(key, name, css, "not plugged in" if css == "t3" else "offline", 0, 0, online=False)
    whole = tier.limit_bytes or tier.usage_bytes + tier.reserved_bytes + tier.free_bytes
    scale = _END / max(whole, 1)
    return RailTier(
        key,
        name,
        css,
        words.of_limit(tier.usage_bytes, tier.limit_bytes),
        used=_width(tier.usage_bytes * scale),
        reserved=_width(tier.reserved_bytes * scale),
        online=True,
        has_limit=tier.limit_bytes is not None,
    )


def _width(share: float) -> float:
    return 0.0 if share <= 0 else round(min(100.0, max(share, _LEAST)), 2)
