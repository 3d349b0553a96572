"""Moving, removing, verifying, pinning and updating models, as plans. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelshelf.domain.models import ModelRow
from modelshelf.domain.plans import MovePlan, UpdatePlan
from modelshelf.errors import ShelfError
from modelshelf.schemas.plans import MovePlanJson, UpdatePlanJson
from modelshelf.server.web import words
from modelshelf.server.web.look import Look
from modelshelf.server.web.sheet import Change, Option, Part, Sheet, Step, change_of
from modelshelf.units import many

_TYPED_FOR_MANY = "delete"


@dataclass(frozen=True, slots=True)
class Moving:
    """A model that is to be moved, and the plan, or why there is none."""

    row: ModelRow
    plan: MovePlan | ShelfError


@dataclass(frozen=True, slots=True)
class Removing:
    """A model that is to be removed."""

    row: ModelRow
    free_bytes: int
    """What deleting its files frees."""
    kept: str
    """Why some of its files stay if the others are deleted."""
    why_not: str
    """Why it can't be removed; empty if it can."""
    why_not_files: str
    """Why its files can't be deleted; empty if they can."""
    is_only_copy: bool


def _names(rows: Sequence[ModelRow]) -> str:
    return rows[0].model_name if len(rows) == 1 else many(len(rows), "model")


def _hidden(rows: Sequence[ModelRow]) -> list[tuple[str, str]]:
    return [("model", row.model_name) for row in rows]


def move_sheet(look: Look, to: str, to_name: str, moving: Sequence[Moving]) -> Sheet:
    """Return the plan of a move.

    Args:
        look: The library.
        to: The tier's key.
        to_name: What it is called.
        moving: The models.
    """
    going = [(one.row, MovePlanJson.of(one.plan)) for one in moving if isinstance(one.plan, MovePlan)]
    total = sum(plan.transfer_bytes for _, plan in going)
    evicted = {gone.model_name: gone for _, plan in going for gone in plan.makes_room}
    steps = [
        Step("right", "Evict", gone.model_name, "to make room", words.freed(gone.free_bytes))
        for gone in evicted.values()
    ]
    steps += [
        Step("right", "Move", row.model_name, f"to {to_name}", words.size(plan.transfer_bytes), _small(plan))
        for row, plan in going
    ]
    staying = [
        Step("info", "", one.row.model_name, "stays", "", _why(one.plan))
        for one in moving
        if isinstance(one.plan, ShelfError)
    ]
    parts = [Part("What happens", steps)] if steps else []
    parts += [Part("What stays", staying)] if staying else []
    rows = [one.row for one in moving]
    return Sheet(
        f"Move {_names(rows)}",
        "/move",
        "/models",
        button=f"Move {words.size(total)}" if going else "",
        hidden=[("to", to), *_hidden([row for row, _ in going])],
        parts=parts,
        changes=_changes(look, to, going),
        summary=f"To {to_name}: {words.size(total)}. The old copy goes once the new one is verified." if going else "",
        command=f"shelf move {rows[0].model_name} {to}" if len(rows) == 1 else "",
    )


def _small(plan: MovePlanJson) -> str:
    if plan.method != "copy":
        return "no byte is copied: both tiers are on one disk"
    return plan.note


def _why(err: MovePlan | ShelfError) -> str:
    assert isinstance(err, ShelfError)
    return f"{err.detail} {err.hint}".strip()


def _changes(look: Look, to: str, going: Sequence[tuple[ModelRow, MovePlanJson]]) -> list[Change]:
    difference: dict[str, int] = {}
    for row, plan in going:
        difference[plan.cache_path] = difference.get(plan.cache_path, 0) + plan.transfer_bytes
        source = look.bases[row.id]
        difference[source] = difference.get(source, 0) - row.size_bytes
    return [
        change_of(tier, difference[tier.cache_path])
        for tier in look.tiers
        if tier.cache_path in difference and tier.online
    ]


def remove_sheet(removing: Sequence[Removing], trouble: str = "") -> Sheet:
    """Return the question whether models are forgotten, or deleted too."""
    going = [one for one in removing if not one.why_not]
    stay = [f"{one.row.model_name} stays: {one.why_not}" for one in removing if one.why_not]
    title = f"Remove {_names([one.row for one in removing])}?"
    if not going:
        return Sheet(title, "/remove", "/models", notes=stay, trouble=trouble, is_question=True)
    rows = [one.row for one in going]
    options, typed = [_keeping(rows)], ""
    if any(one.why_not_files for one in going):
        stay += [one.why_not_files for one in going if one.why_not_files]
    else:
        is_last = any(one.is_only_copy and one.free_bytes for one in going)
        options.append(_deleting(going, is_last=is_last))
        typed = (rows[0].model_name if len(rows) == 1 else _TYPED_FOR_MANY) if is_last else ""
    return Sheet(
        title,
        "/remove",
        "/models",
        button="Remove",
        button_css="bad",
        hidden=_hidden(rows),
        parts=_named(rows),
        options=options,
        notes=stay,
        trouble=trouble,
        is_question=True,
        typed=typed,
        command=f"shelf rm {rows[0].model_name} --files --dry-run" if len(rows) == 1 else "",
    )


def _named(rows: Sequence[ModelRow]) -> list[Part]:
    """Return the names of several models; of one, the title says it."""
    steps = [Step("models", "", row.model_name, "", words.size(row.size_bytes)) for row in rows]
    return [Part("Which", steps)] if len(rows) > 1 else []


def _keeping(rows: Sequence[ModelRow]) -> Option:
    title = "Forget the model, keep its files" if len(rows) == 1 else "Forget the models, keep their files"
    total = words.size(sum(row.size_bytes for row in rows))
    return Option("files", "keep", title, f"{total} stay and can be adopted later.", checked=True)


def _deleting(going: Sequence[Removing], *, is_last: bool) -> Option:
    frees = words.size(sum(one.free_bytes for one in going))
    last = "This is the only copy on this machine; a new one comes from the Hub, as long as it has it."
    said = [last] if is_last else []
    said += [one.kept for one in going if one.kept]
    return Option("files", "delete", f"Delete the files too: frees {frees}", " ".join(said))


def simple_sheet(verb: str, rows: Sequence[ModelRow]) -> Sheet:
    """Return the question before several models are pinned or verified."""
    said = {"pin": "Nothing evicts a pinned model.", "verify": "Every byte is read and compared with its digest."}
    total = words.size(sum(row.size_bytes for row in rows))
    pinned = [("pinned", "1")] if verb == "pin" else []
    return Sheet(
        f"{verb.capitalize()} {_names(rows)}?",
        f"/{verb}",
        "/models",
        button=f"{verb.capitalize()} {many(len(rows), 'model')}",
        hidden=[*_hidden(rows), *pinned],
        parts=_named(rows),
        notes=[f"{total}. {said[verb]}"],
        is_question=True,
    )


def update_sheet(row: ModelRow, plan: UpdatePlan) -> Sheet:
    """Return the plan of an update."""
    told = UpdatePlanJson.of(plan)
    title, command = f"Update {row.model_name}", f"shelf update {row.model_name}"
    empty = Sheet(title, "/update", "/models", hidden=_hidden([row]), command=command)
    if told.is_current:
        return replace(empty, trouble=f"{row.revision} is at {told.new_commit[:7]}, as this model is.", hint=told.note)
    old = (told.old_commit or "")[:7]
    step = Step(
        "down",
        f"{old} →",
        told.new_commit[:7],
        "",
        words.size(told.fetch_bytes),
        "the old commit is used until the new one is whole",
    )
    return replace(
        empty,
        button=f"Update, download {words.size(told.fetch_bytes)}",
        parts=[Part("What happens", [step])],
        summary=f"{words.size(told.shared_bytes)} are the same in both.",
    )
