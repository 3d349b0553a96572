"""The table of models: searched, filtered and sorted over all, and shown in pages. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import quote, urlencode

from modelshelf.domain.models import Model, ModelRow
from modelshelf.domain.serving import EngineStatus
from modelshelf.server.web import states, words
from modelshelf.server.web.look import Look
from modelshelf.server.web.states import Shown
from modelshelf.units import many

PAGE = 40
"""So many rows at first: more than fit a window, and few enough for a browser to lay out at once."""
MOST_PAGES = 25
GROUPS = {"incomplete": "Incomplete", "here": "On disk", "offline": "Drive not plugged in"}
SORTS = ("name", "format", "size", "tier", "used", "uses")
_DESCENDING = frozenset({"size", "used", "uses"})
AGES = {"": "any time", "7": "this week", "30": "this month", "-30": "not for 30 days", "-90": "not for 90 days"}
STATES = {"": "any", "here": "on disk", "incomplete": "incomplete", "offline": "offline", "pinned": "pinned"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants to see, as the address says it."""

    text: str = ""
    tier: str = ""
    state: str = ""
    used: str = ""
    sort: str = "used"
    page: int = 1
    pages: int = 1
    """So many pages from that on: more come while a person scrolls."""

    def path(self, **other: object) -> str:
        """Return the address of this wish with something else in it, on its first page."""
        now = {"q": self.text, "tier": self.tier, "state": self.state, "used": self.used, "sort": self.sort}
        said = {name: value for name, value in (now | other).items() if value and (name, value) != ("sort", "used")}
        return f"/models?{urlencode(said)}" if said else "/models"


@dataclass(frozen=True, slots=True)
class Row:
    """A model in the table."""

    name: str
    path: str
    repo: str
    pinned: bool
    format: str
    quantisation: str
    is_pickle: bool
    size: str
    size_bytes: int
    bar: float
    css: str
    """The class of its tier."""
    tier: str
    online: bool
    state: Shown
    used: str
    used_at: float | None
    uses: str


@dataclass(frozen=True, slots=True)
class Group:
    """Models that are in the same case, whatever the order."""

    key: str
    name: str
    about: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class ModelsPage:
    """The table."""

    summary: str
    wish: Wish
    tiers: Sequence[tuple[str, str]]
    """Key and name of each tier."""
    groups: Sequence[Group]
    count: int
    """How many match."""
    total: int
    first: int
    last: int
    earlier: str
    later: str
    sorts: Mapping[str, tuple[str, str]]
    """For each column its address, and how it is sorted now: `ascending`, `descending` or empty."""


def models_page(
    look: Look,
    wish: Wish,
    at: Callable[[Sequence[ModelRow]], Sequence[Model]],
    engines: Sequence[EngineStatus],
) -> ModelsPage:
    """Return the table.

    Args:
        look: The library.
        wish: What is wanted.
        at: Returns the models of rows with their states; asked for those of the page.
        engines: What is in memory.
    """
    found = {key: list[ModelRow]() for key in GROUPS}
    for row in look.models:
        if _matches(look, row, wish):
            found[group_of(look, row)].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: _order(look, row, wish.sort))
    every = list(chain.from_iterable(found.values()))
    number = max(1, min(wish.page, -(-len(every) // PAGE)))
    start, pages = (number - 1) * PAGE, min(wish.pages, MOST_PAGES)
    part = every[start : start + pages * PAGE]
    last = start + len(part)
    running = {str(status.model_name): status for status in engines}
    largest = max((row.size_bytes for row in every), default=1)
    shown = {model.row.id: _row(look, model, running, largest) for model in at(part)}
    return ModelsPage(
        summary=_summary(look),
        wish=wish,
        tiers=[(_key(tier), words.tier_name(tier.cache_location, tier.cache_path)) for tier in look.tiers],
        groups=[_group(key, rows, [shown[row.id] for row in rows if row.id in shown]) for key, rows in found.items()],
        count=len(every),
        total=len(look.models),
        first=start + 1,
        last=last,
        earlier=wish.path(page=number - 1) if number > 1 else "",
        later=wish.path(page=number + pages) if last < len(every) else "",
        sorts={sort: (wish.path(sort=sort), _sorted(wish, sort)) for sort in SORTS},
    )


def _key(tier: Any) -> str:
    return str(tier.cache_path if tier.cache_location == "custom" else tier.cache_location)


def _sorted(wish: Wish, sort: str) -> str:
    if wish.sort != sort:
        return ""
    return "descending" if sort in _DESCENDING else "ascending"


def group_of(look: Look, row: ModelRow) -> str:
    """Return the key of a model's group."""
    tier = look.tier_of(row)
    if tier is None or not tier.online:
        return "offline"
    return "here" if row.complete else "incomplete"


def _matches(look: Look, row: ModelRow, wish: Wish) -> bool:
    text = wish.text.lower()
    if text and text not in f"{row.model_name} {row.hf_path} {row.format} {row.quantisation}".lower():
        return False
    if wish.tier and wish.tier not in (row.cache_location, look.bases[row.id]):
        return False
    if wish.state == "pinned":
        return row.pinned and _was_used(look, row, wish.used)
    return wish.state in ("", group_of(look, row)) and _was_used(look, row, wish.used)


def _was_used(look: Look, row: ModelRow, within: str) -> bool:
    if within not in AGES or not within:
        return True
    days, age_s = int(within), look.now_s - (row.last_used_at or 0)
    return age_s <= days * 86400 if days > 0 else age_s > -days * 86400


def _order(look: Look, row: ModelRow, sort: str) -> tuple[Any, ...]:
    orders: dict[str, tuple[Any, ...]] = {
        "size": (-row.size_bytes,),
        "used": (-(row.last_used_at or 0),),
        "uses": (-row.uses,),
        "tier": (look.bases[row.id],),
        "format": (row.format, row.quantisation),
    }
    return (*orders.get(sort, ()), row.model_name.lower())


def _summary(look: Look) -> str:
    here = sum(row.size_bytes for row in look.models if group_of(look, row) == "here")
    away = sum(row.size_bytes for row in look.models if group_of(look, row) == "offline")
    parts = [many(len(look.models), "model"), f"{words.size(here)} on disk"]
    if away:
        parts.append(f"{words.size(away)} on a drive that isn’t plugged in")
    return " · ".join(parts)


def _group(key: str, mine: Sequence[ModelRow], rows: Sequence[Row]) -> Group:
    about = f"{len(mine):,} · {words.size(sum(row.size_bytes for row in mine))}"
    return Group(key, GROUPS[key], about, rows)


def _row(look: Look, model: Model, engines: Mapping[str, EngineStatus], largest: int) -> Row:
    row = model.row
    tier = look.tier_of(row)
    return Row(
        name=row.model_name,
        path=f"/models/{quote(row.model_name, safe='')}",
        repo=row.hf_path,
        pinned=row.pinned,
        format=row.format,
        quantisation=row.quantisation,
        is_pickle=row.format == "PyTorch",
        size=words.size(row.size_bytes) if row.size_bytes else "–",
        size_bytes=row.size_bytes,
        bar=round(100 * row.size_bytes / max(largest, 1), 2),
        css=words.tier_class(row.cache_location),
        tier=words.tier_said(row.cache_location, model.base),
        online=tier is not None and tier.online,
        state=states.shown(model, engines),
        used=words.used(row.last_used_at, row.last_used_by, look.now_s),
        used_at=row.last_used_at,
        uses=f"{row.uses:,}" if row.uses else "–",
    )
