"""The home page: each tier as a shelf, what fills it, and who would leave first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelshelf.domain.eviction import Candidate
from modelshelf.domain.jobs import PAUSED, RUNNING, Job, JobKind
from modelshelf.domain.models import FileEntry, ModelRow
from modelshelf.domain.usage_history import TierHistory
from modelshelf.schemas.tiers import TierJson
from modelshelf.server.web import words
from modelshelf.server.web.bars import Bar, bar_of
from modelshelf.server.web.charts import UsageChart, usage_chart
from modelshelf.server.web.jobs_words import doing
from modelshelf.server.web.look import Look
from modelshelf.server.web.treemap_page import Map, map_of
from modelshelf.units import many

DAYS = 90
"""So far back goes the chart."""


@dataclass(frozen=True, slots=True)
class Note:
    """What happened, what it means, and the button that helps."""

    level: str
    """Empty for a warning, `bad` or `calm`."""
    what: str
    means: str
    button: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """A job that brings bytes to a tier, or takes them away."""

    icon: str
    name: str
    text: str
    behind: str


@dataclass(frozen=True, slots=True)
class ShelfCard:
    """A tier on the home page."""

    key: str
    name: str
    css: str
    base: str
    facts: Sequence[str]
    online: bool
    number: str
    unit: str
    of: str
    headroom: str
    bar: Bar | None
    flows: Sequence[Flow]
    note: Note | None
    gone: str
    """For a tier that is offline: what stays."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A model that would be evicted next."""

    name: str
    used: str
    size: str


@dataclass(frozen=True, slots=True)
class StoragePage:
    """The home page."""

    summary: str
    shelves: Sequence[ShelfCard]
    tabs: Sequence[ShelfCard]
    chosen: str
    map: Map | None
    next: Sequence[Leaving]
    next_tier: str
    is_empty: bool
    """Whether there is no model yet."""
    chart: UsageChart | None
    """What the chosen tier held over time; None before anything was noted."""


def storage_page(
    look: Look,
    chosen: str,
    files_of: Callable[[ModelRow], Sequence[FileEntry]],
    coldest: Sequence[Candidate],
    history: Sequence[TierHistory] = (),
    evicted: Sequence[tuple[float, str]] = (),
) -> StoragePage:
    """Return the home page.

    Args:
        look: The library.
        chosen: The tier whose models are drawn, as `words.tier_key` names it; empty: the first.
        files_of: Returns a model's files; asked for a few large ones.
        coldest: The models of the primary that would leave next, the coldest first.
        history: What the tiers held.
        evicted: When models were evicted from the primary, and which.
    """
    shelves = [_shelf(look, tier) for tier in look.tiers]
    keys = [shelf.key for shelf in shelves]
    key = chosen if chosen in keys else (keys[0] if keys else "")
    tier = look.tiers[keys.index(key)] if keys else None
    return StoragePage(
        summary=_summary(look),
        shelves=shelves,
        tabs=shelves,
        chosen=key,
        map=map_of(look, tier, files_of) if tier is not None else None,
        next=[_leaving(one, look.now_s) for one in coldest if is_free(one)][:5],
        next_tier=shelves[0].name if shelves else "",
        is_empty=not look.models,
        chart=_chart(look, tier, history, evicted) if tier is not None else None,
    )


def _chart(
    look: Look, tier: TierJson, history: Sequence[TierHistory], evicted: Sequence[tuple[float, str]]
) -> UsageChart | None:
    found = next((one for one in history if one.base == tier.cache_path), None)
    if found is None:
        return None
    css, name = words.tier_class(tier.cache_location), words.tier_name(tier.cache_location, tier.cache_path)
    gone = evicted if tier.cache_location == "primary" else ()
    return usage_chart(found, name, css, look.now_s, DAYS, gone)


def is_free(one: Candidate) -> bool:
    """Return whether a model may be evicted now."""
    return not (one.pinned or one.leased or one.busy)


def _summary(look: Look) -> str:
    online = [tier for tier in look.tiers if tier.online]
    away = len(look.tiers) - len(online)
    used = words.size(sum(tier.usage_bytes for tier in online))
    parts = [many(len(look.models), "model"), f"{used} on {many(len(online), 'tier')}"]
    if away:
        parts.append(f"{many(away, 'tier')} {'is' if away == 1 else 'are'} offline")
    return " · ".join(parts)


def _leaving(one: Candidate, now_s: float) -> Leaving:
    return Leaving(one.model_name, words.last_use(one.used_at, one.arrived_at, now_s), words.size(one.free_bytes))


def _shelf(look: Look, tier: TierJson) -> ShelfCard:
    css, name = words.tier_class(tier.cache_location), words.tier_name(tier.cache_location, tier.cache_path)
    key = tier.cache_path if tier.cache_location == "custom" else tier.cache_location
    models = look.on(tier)
    held = tier.usage_bytes + tier.reserved_bytes
    number, _, unit = words.size(tier.usage_bytes).partition(words.NBSP)
    of = f"of {words.limit(tier.limit_bytes)}" if tier.limit_bytes is not None else "no limit but the disk’s"
    return ShelfCard(
        key=key,
        name=name,
        css=css,
        base=tier.cache_path,
        facts=_facts(tier),
        online=tier.online,
        number=number,
        unit=unit,
        of=of,
        headroom=words.size(words.headroom(tier.limit_bytes, held, tier.free_bytes)),
        bar=bar_of(tier, _pinned_bytes(models), look.warn_share, css) if tier.online else None,
        flows=[flow for job in look.jobs if (flow := _flow(look, job, tier)) is not None][:6],
        note=_note(tier, name, key, models),
        gone=_gone(models),
    )


def _facts(tier: TierJson) -> list[str]:
    if not tier.online:
        return []
    facts = [tier.capabilities.file_system] if tier.capabilities and tier.capabilities.file_system else []
    if not tier.writable:
        facts.append("read-only")
    return [*facts, f"{words.size(tier.free_bytes)} free on its disk"]


def _pinned_bytes(models: Sequence[ModelRow]) -> int:
    """Return the bytes of pinned models; those of one snapshot count once, as far as their commits tell."""
    pinned = {(row.hf_path, row.commit_hash, row.allow_patterns): row.size_bytes for row in models if row.pinned}
    return sum(pinned.values())


def _gone(models: Sequence[ModelRow]) -> str:
    if not models:
        return ""
    stay = f"{many(len(models), 'model')} ({words.size(sum(row.size_bytes for row in models))})"
    verbs = ("stays", "works") if len(models) == 1 else ("stay", "work")
    return f"{stay} {verbs[0]} registered and {verbs[1]} again once it’s back"


def _note(tier: TierJson, name: str, key: str, models: Sequence[ModelRow]) -> Note | None:
    """Return what most needs a look on a tier."""
    if not tier.online:
        return None
    held, limit = tier.usage_bytes + tier.reserved_bytes, tier.limit_bytes
    room = ("Make room…", f"/make-room?tier={quote(key)}") if tier.cache_location == "primary" else ("", "")
    if limit is not None and held > limit:
        means = f"Other programs’ files count too: {words.size(_others(tier))} here aren’t models."
        return Note("bad", f"{name} is {words.size(held - limit)} past its limit.", means, *room)
    if not tier.writable:
        return Note("calm", f"{name} is read-only.", "Its models can be loaded, not changed.")
    if tier.warning and limit is not None:
        left = words.size(words.headroom(limit, held, tier.free_bytes))
        then = "evicts the least recently used models" if tier.cache_location == "primary" else "is refused"
        what = f"{name} is {words.percent(held, limit)} full."
        return Note("", what, f"Adding more than {left} {then}.", *room)
    orphans = tier.breakdown.get("orphans", 0)
    if orphans and orphans * 50 > held:
        means = "No model or snapshot needs them."
        return Note(
            "", f"{words.size(orphans)} of orphans on {name} can go.", means, "Delete them…", f"/gc?tier={quote(key)}"
        )
    return None


def _others(tier: TierJson) -> int:
    return tier.usage_bytes - tier.breakdown.get("models", 0) - tier.breakdown.get("shared", 0)


_ICONS = {JobKind.PULL: "down", JobKind.UPDATE: "down", JobKind.MOVE: "right", JobKind.VERIFY: "eye"}


def _flow(look: Look, job: Job, tier: TierJson) -> Flow | None:
    """Return a job of a tier's models; None if it is about another tier, or isn't of a kind that is shown there."""
    if job.kind not in _ICONS:
        return None
    row = next((row for row in look.models if row.id == job.model_id), None)
    if row is None or look.bases[row.id] != tier.cache_path:
        return None
    told = doing(job, look.now_s)
    icon = _ICONS[JobKind(job.kind)] if job.state == RUNNING else "pause" if job.state == PAUSED else "clock"
    return Flow("warn" if told.stalled else icon, job.model_name, told.text, told.behind)
