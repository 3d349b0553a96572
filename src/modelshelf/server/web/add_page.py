"""Adding a model: what the hub has, what of it fits, and the plan. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from modelshelf.domain.candidates import Candidate
from modelshelf.domain.choices import Choice, RepoFiles, recommended
from modelshelf.domain.models import ModelRow, Registration
from modelshelf.domain.patterns import Selection
from modelshelf.domain.plans import AddPlan
from modelshelf.domain.references import Reference, selected
from modelshelf.errors import ShelfError
from modelshelf.schemas.plans import AddPlanJson
from modelshelf.server.web import words
from modelshelf.server.web.look import Look
from modelshelf.server.web.sheet import Change, Step, change_of
from modelshelf.units import format_count, many

ALL = "all files"
"""The choice that takes the whole repository."""


@dataclass(frozen=True, slots=True)
class Found:
    """A repository that a search found."""

    repo: str
    path: str
    about: str


@dataclass(frozen=True, slots=True)
class Pick:
    """Files that can be taken together."""

    label: str
    size: str
    fits: str
    """`fits memory now` or not; empty where that isn't known."""
    fits_css: str
    tier_css: str
    tier: str
    behind: str
    path: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """What would be added, and how."""

    label: str
    pick: str
    """The label of the choice; empty for what the address selects."""
    name: str
    tiers: Sequence[tuple[str, str, bool]]
    """Name, address, and whether it is the chosen one."""
    to: str
    command: str
    size: str = ""
    steps: Sequence[Step] = ()
    changes: Sequence[Change] = ()
    button: str = ""
    """Empty: it can't be added."""
    trouble: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class AddPage:
    """The page to add a model."""

    text: str
    found: Sequence[Found] | None
    """What a search found; None if none was made."""
    repo: str
    about: str
    picks: Sequence[Pick]
    chosen: Chosen | None
    already: Sequence[tuple[str, str]]
    """Models of the same repository: name, and what they are."""
    trouble: str
    hint: str


def nothing_asked(text: str = "", err: ShelfError | None = None) -> AddPage:
    """Return the page before anything was asked, or after the hub couldn't answer."""
    return AddPage(text, None, "", "", (), None, (), err.detail if err else "", err.hint if err else "")


def search_page(text: str, candidates: Sequence[Candidate]) -> AddPage:
    """Return the page of a search."""
    found = [Found(one.repo_id, f"/add?{urlencode({'q': one.repo_id})}", _about(one)) for one in candidates]
    return AddPage(text, found, "", "", (), None, (), "", "")


def _about(one: Candidate) -> str:
    said = [
        f"{format_count(one.parameters)} parameters" if one.parameters else "",
        *one.formats,
        f"{format_count(one.downloads)} downloads" if one.downloads is not None else "",
        f"changed {one.updated_at[:10]}" if one.updated_at else "",
        "gated" if one.is_gated else "",
    ]
    return " · ".join(part for part in said if part)


def choice_of(repo: RepoFiles, reference: Reference, label: str) -> Choice | None:
    """Return the choice that a person made, or the one to suggest; None for what the words select.

    Args:
        repo: The repository.
        reference: The words, such as the address of a file.
        label: The label of the choice that was made on the page; empty for none.
    """
    taken = [choice for choice in repo.choices if choice.fit is not None]
    for choice in taken:
        if choice.group.label == label:
            return choice
    if reference.patterns:
        return repo.meant(reference)
    return recommended(repo.ggufs)[0] if repo.ggufs else None


def repo_page(look: Look, text: str, repo: RepoFiles, choice: Choice | None, chosen: Chosen | None) -> AddPage:
    """Return the page of a repository.

    Args:
        look: The library.
        text: What was asked for.
        repo: The repository.
        choice: What is chosen of it; None: all.
        chosen: The plan for it.
    """
    is_many = len(repo.ggufs) > 0
    takes_all = choice is not None or chosen is None or chosen.label == ALL
    mine = [row for row in look.models if row.hf_path.lower() == repo.repo_id.lower()]
    whole = [row for row in mine if row.complete and row.commit_hash == repo.commit_hash]
    picks = [
        _pick(text, one, _holder(one, whole), is_chosen=one is choice or (takes_all and not is_many))
        for one in repo.choices
        if one.fit is not None
    ]
    total = sum(file.size_bytes for one in repo.choices for file in one.group.files)
    already = [(str(row.model_name), f"{words.size(row.size_bytes)} on {row.cache_location}") for row in mine]
    about = f"{repo.revision} at {repo.commit_hash[:7]} · {words.size(total)} in all"
    return AddPage(text, None, repo.repo_id, about, picks, chosen, already, "", "")


def _holder(choice: Choice, rows: Sequence[ModelRow]) -> ModelRow | None:
    """Return a whole model that has the files of a choice already."""
    for row in rows:
        selection = Selection(row.allow_patterns)
        if all(file.path in selection for file in choice.group.files):
            return row
    return None


def _pick(text: str, choice: Choice, holder: ModelRow | None, *, is_chosen: bool) -> Pick:
    fit = choice.fit
    assert fit is not None
    location, behind = fit.cache_location, f"evicts {many(len(fit.evicts), 'model')}" if fit.evicts else ""
    if holder is not None:
        location, behind = holder.cache_location, "is here already"
    return Pick(
        label=choice.group.label,
        size=words.size(choice.size_bytes),
        fits="fits memory now" if fit.memory else "more than memory now",
        fits_css="live" if fit.memory else "",
        tier_css=words.tier_class(location) if location else "",
        tier=location or "fits nowhere",
        behind=behind,
        path=f"/add?{urlencode({'q': text, 'pick': choice.group.label})}",
        chosen=is_chosen,
    )


def chosen_of(
    look: Look,
    asked: dict[str, str],
    wanted: Registration,
    plan: AddPlan | ShelfError,
    tiers: Sequence[tuple[str, str]],
) -> Chosen:
    """Return the plan of an addition.

    Args:
        look: The library.
        asked: What the address says: text, choice, name and tier.
        wanted: The registration.
        plan: What it would do, or why it can't be done.
        tiers: Key and name of each tier.
    """
    address = [(name, f"/add?{urlencode({**asked, 'to': key})}", key == asked["to"]) for key, name in tiers]
    to = "" if asked["to"] == "primary" else f" --to {asked['to']}"
    command = f"shelf add {wanted.model_name} {asked['reference']}{to}"
    label = asked["pick"] or ", ".join(selected(wanted.allow_patterns)) or ALL
    chosen = Chosen(label, asked["pick"], str(wanted.model_name), address, asked["to"], command)
    if isinstance(plan, ShelfError):
        return replace(chosen, trouble=plan.detail, hint=plan.hint)
    told = AddPlanJson.of(plan)
    steps = [
        Step("right", "Move", one.model_name, "to secondary", words.freed(one.free_bytes)) for one in told.makes_room
    ]
    steps.append(Step("down", "Download", told.model_name, "", words.size(told.fetch_bytes)))
    if told.copy_bytes:
        steps.append(Step("right", "Copy", told.model_name, "from another tier", words.size(told.copy_bytes)))
    difference = {told.cache_path: told.fetch_bytes + told.copy_bytes - sum(one.free_bytes for one in told.makes_room)}
    moves = f" and move {many(len(told.makes_room), 'model')}" if told.makes_room else ""
    return replace(
        chosen,
        size=words.size(told.size_bytes),
        steps=steps,
        changes=[change_of(tier, difference[tier.cache_path]) for tier in look.tiers if tier.cache_path in difference],
        button=f"Add{moves}",
        trouble="" if told.commit_hash else "The hub isn’t reachable: the download starts when it is.",
    )
