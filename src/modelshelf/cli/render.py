"""Rendering that several commands share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelshelf.cli import output
from modelshelf.domain.jobs import DONE, FAILED, WAITING
from modelshelf.domain.tiers import PRIMARY
from modelshelf.units import format_age, format_duration, format_size

if TYPE_CHECKING:
    from modelshelf.domain.eviction import EvictionPlan
    from modelshelf.domain.jobs import Job
    from modelshelf.domain.models import Model
    from modelshelf.schemas.models import EvictedJson
    from modelshelf.schemas.plans import AddPlanJson, MovePlanJson
    from modelshelf.services.shelf import Shelf


_ON_HUB = "; the hub still has it"


def now_s() -> float:
    """Return the time by the wall clock."""
    return time.time()  # noqa: TID251 - a person reads "2 h ago" by the wall clock


def print_evictions(makes_room: EvictionPlan | None, tier: str) -> None:
    """Name the models that a tier is about to evict."""
    from modelshelf.schemas.models import EvictedJson

    for victim in EvictedJson.each(makes_room):
        what = _evicted(victim)
        why = _needed(victim)
        to = f"Evicting {what} to secondary{why}." if tier == PRIMARY else f"Deleting {what} from {tier}{_ON_HUB}{why}."
        output.note(to)


def print_old_copy(deletion: Job | None) -> None:
    """Say what happens to the copy that a move or update left, if it isn't gone; another process may be at it."""
    if deletion is None or deletion.state == DONE:
        return
    if deletion.state == FAILED:
        output.note(f"The old copy stays: {deletion.detail}")
    elif deletion.state == WAITING and deletion.detail:
        output.note(f"{deletion.detail} It is deleted when they end.")
    else:
        output.note("The old copy is being deleted.")


def _evicted(victim: EvictedJson) -> str:
    return f"{victim.model_name} ({format_size(victim.free_bytes)})" if victim.free_bytes else victim.model_name


def _needed(victim: EvictedJson) -> str:
    """Return that adapters stay without their base model; empty if none does."""
    if not victim.needed_by:
        return ""
    from modelshelf.domain.eviction import listed

    return f", though {listed(victim.needed_by)} need{'s' * (len(victim.needed_by) == 1)} it as the base model"


def print_planned_evictions(plan: AddPlanJson | MovePlanJson) -> None:
    """Print which models a tier will evict."""
    tier = plan.cache_location
    for victim in plan.makes_room:
        what, why = _evicted(victim), _needed(victim)
        output.line(
            f"  evicts {what} to secondary{why}" if tier == PRIMARY else f"  deletes {what} from {tier}{_ON_HUB}{why}"
        )


def print_model(shelf: Shelf, name: str, *, as_json: bool) -> None:
    """Print a model's state."""
    from modelshelf.schemas.models import ModelJson

    model = shelf.model(name)
    if as_json:
        output.as_json(ModelJson.of(model))
    else:
        output.answer(f"{name}: {model.state.value}, {format_size(model.row.size_bytes)} in {model.path or model.base}")


def tier_of(model: Model) -> str:
    """Return the name of a model's tier."""
    return model.base if model.row.cache_location == "custom" else model.row.cache_location


def format_of(model: Model) -> str:
    """Return how a model's weights are written."""
    return f"{model.row.format} {model.row.quantisation}".strip() or "?"


def last_use(model: Model, now_s: float) -> str:
    """Return when the model was used last, and that it was another program that did."""
    if model.row.last_used_at is None:
        return "never"
    whose = " (other)" if model.row.last_used_by == "another program" else ""
    return format_age(model.row.last_used_at, now_s) + whose


def note_unregistered(shelf: Shelf) -> None:
    """Print how much of the tiers no model has, and what lists it."""
    from modelshelf.services.catalog.unregistered import unregistered

    if strays := unregistered(shelf.services.library):
        size = format_size(sum(stray.size_bytes for stray in strays))
        output.note(f"{size} on the tiers are of no registered model: shelf ls --all")


def print_tier_items(tiers: Sequence[Mapping[str, Any]], verb: str, total: str, *, as_json: bool) -> None:
    """Print what was or would be deleted or shared on each tier."""
    if as_json:
        output.as_json({"tiers": list(tiers), total: sum(tier[total] for tier in tiers)})
        return
    for tier in tiers:
        output.answer(f"{tier['cache_location']}  {tier['cache_path']}")
        rows = [
            [i["kind"], format_size(i["size_bytes"]), format_duration(i["age_s"]), i["path"], i["why"]]
            for i in tier["items"]
        ]
        if rows:
            output.table(["KIND", "SIZE", "AGE", "PATH", "WHY"], rows, frozenset({1, 2}), frozenset({4}))
        output.answer(f"{verb} {format_size(tier[total])}{_counted(tier['items'])}.")
        if tier.get("shared_bytes"):
            output.answer(f"{format_size(tier['shared_bytes'])} are stored once now; du still counts every copy.")
        if tier.get("quarantine_bytes"):
            output.note(f"{format_size(tier['quarantine_bytes'])} in quarantine. To delete them: shelf gc --quarantine")
        if tier.get("recent_bytes"):
            size = format_size(tier["recent_bytes"])
            output.note(
                f"{size} more may be garbage, but changed within the last hour or are open in a program: left alone."
            )
        for note in tier["notes"]:
            output.note(note)


def _counted(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the counts by kind, in brackets; empty without any."""
    counts = Counter(item["kind"] for item in items)
    return f" ({', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))})" if counts else ""
