"""The plans of what other tools downloaded: registered where it is, or taken in from every known place. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from modelshelf.domain.adopt import NOT_TAKEN, AdoptMode
from modelshelf.schemas.adopt import AdoptAllPlanJson, AdoptPlanJson, GoingJson, PlacePlanJson
from modelshelf.server.web import words
from modelshelf.server.web.sheet import Part, Sheet, Step
from modelshelf.units import many

_TITLE = "Adopt what’s here"
_SHOWN = 12


def register_sheet(plan: AdoptPlanJson) -> Sheet:
    """Return the plan that registers what is in a folder, where it is."""
    steps = [
        Step("folder", "Register", one.model_name, "", words.size(one.size_bytes), one.detail or one.hf_path)
        for one in plan.models
    ]
    total = words.size(sum(one.size_bytes for one in plan.models))
    return Sheet(
        _TITLE,
        "/adopt",
        "/",
        button=f"Register {many(len(steps), 'model')}" if steps else "",
        parts=[Part(f"In {plan.path}", _shortened(steps))] if steps else [],
        notes=[*plan.notes[:_SHOWN], *([] if steps else [f"No model is in {plan.path}."])],
        summary=f"{total} stay where they are; nothing is copied." if steps else "",
        command=f"shelf adopt {plan.path} --dry-run",
    )


def everything_sheet(plan: AdoptAllPlanJson) -> Sheet:
    """Return the plan that takes in what is at every known place of this machine."""
    taken = [model for place in plan.places for model in place.models if _is_taken(model)]
    size = words.size(sum(model.size_bytes for model in taken))
    saves = f" One copy saves {words.size(plan.saved_bytes)}." if plan.saved_bytes else ""
    nothing = [] if plan.places else ["No program keeps models here that aren’t in the library."]
    return Sheet(
        _TITLE,
        "/adopt",
        "/",
        button=f"Take in {many(len(taken), 'model')}" if taken else "",
        hidden=[("all", "1"), ("seen", mark_of(plan))],
        parts=[Part(f"{place.program}, in {place.path}", _shortened(_steps(place))) for place in plan.places],
        notes=[*_left(plan.places), *nothing],
        summary=f"{size} in all.{saves} Files that move leave links." if taken else "",
        command="shelf adopt --all --dry-run",
    )


def mark_of(plan: AdoptAllPlanJson) -> str:
    """Return a text that is another one as soon as something else would be taken in, or goes elsewhere."""
    taken = [
        f"{place.path}\0{model.from_path}\0{model.hf_path}\0{model.action}\0{model.cache_location}"
        for place in plan.places
        for model in place.models
        if _is_taken(model)
    ]
    return hashlib.sha256("\n".join(sorted(taken)).encode(errors="surrogatepass")).hexdigest()


def _is_taken(model: GoingJson) -> bool:
    return model.action not in NOT_TAKEN


def _steps(place: PlacePlanJson) -> list[Step]:
    return [_step(model, place.mode) for model in sorted(place.models, key=_is_taken, reverse=True)]


def _step(model: GoingJson, mode: AdoptMode) -> Step:
    name, size = model.model_name or model.hf_path or model.from_path, words.size(model.size_bytes)
    if not _is_taken(model):
        return Step("info", "Leave", name, "", size, model.detail)
    if mode is AdoptMode.LEAVE:
        return Step("folder", "Register", name, "where it is", size, model.detail)
    to = f"to {words.tier_said(model.cache_location, '')}" if model.cache_location else "into the copy that is here"
    return Step("right", "Move", name, to, size, model.detail)


def _left(places: Sequence[PlacePlanJson]) -> list[str]:
    """Return what stays as it is, and why."""
    troubles = [f"{place.path}: {place.trouble}" for place in places if place.trouble]
    others = [f"Stays: {other.path} ({other.why})" for place in places for other in place.others]
    return [*troubles, *others][:_SHOWN]


def _shortened(steps: Sequence[Step]) -> list[Step]:
    more = [Step("folder", f"{len(steps) - _SHOWN} more", "", "", "")] if len(steps) > _SHOWN else []
    return [*steps[:_SHOWN], *more]
