"""Making room, and deleting what nothing needs, as plans. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from modelshelf.domain.eviction import Candidate, EvictionPlan
from modelshelf.domain.models import ModelRow
from modelshelf.errors import ShelfError
from modelshelf.schemas.garbage import GcPlanJson
from modelshelf.schemas.tiers import TierJson
from modelshelf.server.web import words
from modelshelf.server.web.look import Look
from modelshelf.server.web.sheet import Ask, Part, Sheet, Step, change_of
from modelshelf.units import many

_STAYING = 3
_ITEMS = 8


def tier_json(look: Look, location: str) -> TierJson | None:
    """Return the first tier of a location; None without one."""
    return next((tier for tier in look.tiers if tier.cache_location == location), None)


def room_sheet(look: Look, tier: TierJson, wanted: str, plan: EvictionPlan | ShelfError | None) -> Sheet:
    """Return the plan that makes room on a tier.

    Args:
        look: The library.
        tier: The tier.
        wanted: How much is to fit, as a person wrote it.
        plan: The plan, or why there is none; None if models may not be moved away.
    """
    name = words.tier_name(tier.cache_location, tier.cache_path)
    ask = Ask("So that this fits", "room", wanted, "", "/make-room")
    path = f"/make-room?tier={tier.cache_location}"
    empty = Sheet(f"Make room on {name.lower()}", "/make-room", "/", ask=ask, hidden=[("tier", tier.cache_location)])
    if isinstance(plan, ShelfError):
        return _refused(empty, plan.detail, plan.hint)
    if plan is None:
        return _refused(empty, "Nothing may be moved away: there is no secondary that takes it.", "See ON_FULL.")
    if not plan.victims:
        return _refused(empty, f"{wanted} fits already: {words.size(_headroom(tier))} of headroom.", "")
    steps = [step for victim in plan.victims for step in _leaving(victim, look.now_s)]
    secondary = tier_json(look, "secondary")
    changes = [change_of(tier, -plan.free_bytes)]
    changes += [change_of(secondary, plan.free_bytes)] if secondary is not None else []
    parts = [Part("What moves, least recently used first", steps)]
    if staying := _staying(look, tier, set(plan.model_names)):
        parts.append(Part("What stays, although large", staying))
    hidden = [("tier", tier.cache_location), ("room", wanted), *(("model", name) for name in plan.model_names)]
    return Sheet(
        empty.title,
        path,
        "/",
        button=f"Move {many(len(steps), 'model')}, {words.size(plan.free_bytes)}",
        hidden=hidden,
        parts=parts,
        changes=changes,
        summary=f"Frees {words.size(plan.free_bytes)} on {name.lower()}.",
        ask=ask,
    )


def _leaving(victim: Candidate, now_s: float) -> list[Step]:
    used = words.last_use(victim.used_at, victim.arrived_at, now_s)
    first = Step("right", "Move", victim.model_name, "to secondary", words.size(victim.free_bytes), used)
    shares = f"shares the snapshot of {victim.model_name}"
    return [first, *(Step("right", "Move", name, "to secondary", "", shares) for name in victim.twins)]


def _headroom(tier: TierJson) -> int:
    return words.headroom(tier.limit_bytes, tier.usage_bytes + tier.reserved_bytes, tier.free_bytes)


def _refused(empty: Sheet, trouble: str, hint: str) -> Sheet:
    return Sheet(empty.title, empty.action, empty.back, ask=empty.ask, hidden=empty.hidden, trouble=trouble, hint=hint)


def _staying(look: Look, tier: TierJson, leaving: set[str]) -> list[Step]:
    rows = sorted((row for row in look.on(tier) if row.model_name not in leaving), key=lambda row: -row.size_bytes)
    return [Step("pin", "", row.model_name, "", words.size(row.size_bytes), _why(row)) for row in rows if row.pinned][
        :_STAYING
    ]


def _why(row: ModelRow) -> str:
    return f"pinned: “{row.pin_reason}”" if row.pin_reason else "pinned"


def gc_sheet(key: str, name: str, plans: Sequence[GcPlanJson]) -> Sheet:
    """Return the plan that deletes what nothing on a tier needs."""
    items = sorted((item for plan in plans for item in plan.items), key=lambda item: -item.size_bytes)
    free_bytes = sum(plan.free_bytes for plan in plans)
    steps = [
        Step("bin", "", item.path.rsplit("/", 1)[-1][:24], item.kind, words.size(item.size_bytes), item.why)
        for item in items[:_ITEMS]
    ]
    if len(items) > _ITEMS:
        rest = items[_ITEMS:]
        size = words.size(sum(item.size_bytes for item in rest))
        steps.append(Step("bin", f"{len(rest):,} more", "", "", size))
    notes = [note for plan in plans for note in plan.notes]
    return Sheet(
        f"Delete what nothing on {name.lower() if key != name else name} needs",
        "/gc",
        "/",
        button=f"Delete {words.size(free_bytes)}" if items else "",
        button_css="bad",
        hidden=[("tier", key)],
        parts=[Part("What goes", steps)] if steps else [],
        notes=notes[:_ITEMS] or ([] if items else ["Nothing: every file here is needed, or too young to tell."]),
        summary=f"Frees {words.size(free_bytes)}. No model needs any of it.",
        command=f"shelf gc --tier {key} --dry-run",
    )
