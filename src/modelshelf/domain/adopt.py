"""Adopt: taking models that other tools downloaded into the library. Pure.

The input is what was found and what is registered; the plan names every model and every other thing, what happens with
it and why. What isn't understood stays where it is and is named.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import ClassVar, Self

from modelshelf.domain.adopt_inventory import FoundModel, FoundThing, Inventory, Origin
from modelshelf.domain.job_params import JobParams
from modelshelf.domain.jobs import JobKind
from modelshelf.domain.model_names import free_name
from modelshelf.domain.outside import flag_of, text_of
from modelshelf.errors import BadInput

DEFAULT_PATH = "~/.cache/huggingface"
"""The default path."""


class AdoptMode(enum.StrEnum):
    """What a person wants to do with what was found."""

    LEAVE = "leave"
    MOVE = "move"
    LINK = "link"


class Act(enum.StrEnum):
    """What happens with a model."""

    REGISTER = "register"
    MOVE = "move"
    BRING = "bring"
    MERGE = "merge"
    NONE = "none"
    STAY = "stay"
    ALONG = "along"
    """It isn't registered, and moves with the folder that becomes a link: programs look for it at the old path."""


NOT_TAKEN = frozenset({Act.NONE, Act.STAY, Act.ALONG})
"""What happens with models that get no name."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A model of the registry."""

    model_name: str
    repo_id: str
    commit_hash: str | None
    base: str
    complete: bool
    busy: bool = False
    paths: frozenset[str] = frozenset()
    """Its files; none if they aren't known."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked for, with the bases of this process."""

    mode: AdoptMode
    base: str
    """The base that is adopted."""
    location: str
    """The tier of that base: `primary`, `secondary` or `custom`."""
    target: str
    """The base that models go to."""
    target_location: str
    merge: bool = False
    """Whether second copies are deleted."""

    @property
    def is_home(self) -> bool:
        """Whether models stay in the base that they are in."""
        return self.mode is AdoptMode.LEAVE or self.base == self.target


@dataclass(frozen=True, slots=True)
class Adoption:
    """What happens with one model."""

    model_name: str
    """Its name in the registry; empty if it gets none."""
    act: Act
    found: FoundModel
    why: str
    copy_of: str = ""
    """The registered model with the same files elsewhere."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """What happens with anything else."""

    thing: FoundThing
    act: str
    """`move`, `copy` or `stay`."""
    why: str


@dataclass(frozen=True, slots=True)
class AdoptPlan:
    """What adopting will do."""

    order: Order
    models: tuple[Adoption, ...]
    others: tuple[Leftover, ...]
    need_bytes: int = 0
    """How many bytes the target lacks."""
    backup: str = ""
    """The path of the old base once it is a link."""
    notes: tuple[str, ...] = ()

    def of(self, *acts: Act) -> list[Adoption]:
        """Return the models with one of these actions."""
        return [adoption for adoption in self.models if adoption.act in acts]


def plan_adopt(found: Inventory, order: Order, rows: Sequence[Registered], names: Iterable[str] = ()) -> AdoptPlan:
    """Return what adopting the found models does.

    Args:
        found: What was found.
        order: What is asked for.
        rows: Every registered model.
        names: Further names that are taken.
    """
    deciding = _Deciding(order, rows, names, found.models)
    models = tuple(deciding.decide(model) for model in sorted(found.models, key=_rank))
    others = tuple(_decide_thing(thing, order) for thing in found.things)
    return AdoptPlan(order, models, others)


def _rank(model: FoundModel) -> tuple[bool, bool, str, bool, str]:
    """Sort models in hub/ before strays, and commits with a ref before older ones."""
    return (model.kind is not Origin.CACHE, model.kind.is_foreign, model.repo_id, not model.revision, model.commit_hash)


class _Deciding:
    """One decision over all models."""

    def __init__(
        self, order: Order, rows: Sequence[Registered], names: Iterable[str], models: Sequence[FoundModel]
    ) -> None:
        self._order = order
        self._rows: dict[tuple[str, str | None], list[Registered]] = {}
        for row in rows:
            self._rows.setdefault((row.repo_id, row.commit_hash), []).append(row)
        self._taken = {row.model_name for row in rows} | set(names)
        self._seen: dict[tuple[str, str], str] = {}
        """Repository and commit of the models that get a name here."""
        self._first: dict[str, str] = {}
        """Repository to the commit that has its plain name."""

    def decide(self, model: FoundModel) -> Adoption:
        if model.trouble:
            along = self._order.mode is AdoptMode.LINK and model.kind is Origin.CACHE and not self._order.is_home
            return Adoption("", Act.ALONG if along else Act.STAY, model, model.trouble)
        same = self._rows.get((model.repo_id, model.commit_hash), [])
        busy = next((row for row in same if row.busy), None)
        if busy is not None:
            return Adoption(busy.model_name, Act.STAY, model, f"A job is working on {busy.model_name}.")
        if model.kind.is_foreign:
            return self._decide_foreign(model, same)
        self._first.setdefault(model.repo_id, model.commit_hash)
        twin = self._seen.get((model.repo_id, model.commit_hash))
        return self._decide_cached(model, same) if twin is None else self._decide_twin(model, twin)

    def _decide_cached(self, model: FoundModel, same: Sequence[Registered]) -> Adoption:
        whole = [row for row in same if row.complete]
        here = next((row for row in whole if row.base == self._order.base), None)
        if here is not None and model.kind is Origin.CACHE:
            self._seen[model.repo_id, model.commit_hash] = here.model_name
            return self._place(here.model_name, model, f"It is registered as {here.model_name}.", registered=True)
        if here is not None:
            return self._decide_twin(model, here.model_name)
        if whole:
            there = (row for row in whole if row.base == self._order.target)
            return self._decide_copy(model, next(there, whole[0]))
        wanted = next((row for row in same if row.base in (self._order.base, self._order.target)), None)
        name = wanted.model_name if wanted is not None else self._name(model)
        self._seen[model.repo_id, model.commit_hash] = name
        return self._place(name, model, "")

    def _place(self, name: str, model: FoundModel, why: str, *, registered: bool = False) -> Adoption:
        order = self._order
        anew = f" {len(model.lost)} of its files lost their links and get new ones." if model.lost else ""
        if order.is_home:
            if registered:
                return Adoption(name, Act.REGISTER if model.lost else Act.NONE, model, why + anew)
            where = "It is linked into hub/ and registered there." if model.kind is Origin.STRAY else ""
            if order.mode is not AdoptMode.LEAVE and model.kind is Origin.STRAY:
                where = "It moves into hub/ and is registered there."
            where = where or f"Registered in place, as {order.location}."
            return Adoption(name, Act.REGISTER, model, where + anew)
        return Adoption(name, Act.MOVE, model, f"It moves to {order.target_location} ({order.target}).{anew}")

    def _decide_twin(self, model: FoundModel, name: str) -> Adoption:
        """Decide about a stray whose commit is in hub/ as well."""
        if self._order.mode is not AdoptMode.LEAVE or self._order.merge:
            return Adoption(name, Act.MERGE, model, "It is merged with the copy in hub/.", name)
        return Adoption(name, Act.STAY, model, f"It is also in hub/, as {name}; --merge deletes this copy.", name)

    def _decide_copy(self, model: FoundModel, row: Registered) -> Adoption:
        order, name = self._order, row.model_name
        more = {file.path for file in model.files} - row.paths
        if row.paths and more:
            why = f"{name} in {row.base} is a part of it: {min(more)} is only here. To adopt this one: shelf rm {name}"
            return Adoption(name, Act.STAY, model, why, name)
        is_there = row.base == order.target and order.mode is not AdoptMode.LEAVE
        if is_there or order.merge:
            why = f"{name} has the same files in {row.base}; this copy is deleted once those are verified."
            return Adoption(name, Act.MERGE, model, why, name)
        why = f"It is a second copy of {name} in {row.base}; --merge removes it."
        return Adoption(name, Act.STAY, model, why, name)

    def _decide_foreign(self, model: FoundModel, same: Sequence[Registered]) -> Adoption:
        there = next((row for row in same if row.complete), None)
        if there is not None and self._order.mode is not AdoptMode.LINK:
            why = f"It is registered as {there.model_name}."
            return Adoption(there.model_name, Act.NONE, model, why, there.model_name)
        if self._order.mode is AdoptMode.LEAVE:
            why = "It isn't a Hugging Face cache: --move links it into a tier and leaves it where it is."
            return Adoption("", Act.STAY, model, why)
        target = f"{self._order.target_location} ({self._order.target})"
        if self._order.mode is AdoptMode.LINK:
            why = f"It goes to {target}, and links take the place of its weights."
            return Adoption(there.model_name if there is not None else self._name(model), Act.BRING, model, why)
        why = f"It is linked into {target}, or copied with --copy; the original stays as it is."
        return Adoption(self._name(model), Act.BRING, model, why)

    def _name(self, model: FoundModel) -> str:
        """Return a free name; a second commit of one repository has seven digits of its hash after it."""
        is_second = not model.kind.is_foreign and self._first[model.repo_id] != model.commit_hash
        behind = model.commit_hash[:7] if is_second else ""
        name = free_name(model.repo_id, self._taken, called=model.called, behind=behind)
        self._taken.add(name)
        return name


_CARRIED = ("dataset", "space", "kernel")
_ALONG = ("modules", "assets", "datasets", "accelerate", "partial")
"""What the old path must still lead to once it is a link."""
_WHY_STAYS = {
    "modules": "Code of models, which programs download again; --link moves it too.",
    "assets": "Small files of programs; --link moves them too.",
    "datasets": "Prepared data sets; --link moves them too.",
    "accelerate": "Settings of accelerate; --link moves them too.",
    "store": "The shared blob store of a cache_dir; no model needs what is left in it.",
    "token": "The token stays here: programs whose HF_HOME is the new base need hf auth login.",
    "dead": "No current program reads it; you can delete it.",
    "xet": "A cache of downloads that nothing needs.",
}


def _decide_thing(thing: FoundThing, order: Order) -> Leftover:
    is_stray = str(PurePosixPath(thing.path).parent) != f"{order.base}/hub"
    if thing.kind in _CARRIED and is_stray and order.is_home and order.mode is not AdoptMode.LEAVE:
        return Leftover(thing, "move", "It moves into hub/.")
    if thing.kind in ("link", "unreadable") or order.is_home:
        kept = "" if thing.kind == "token" else _WHY_STAYS.get(thing.kind, "")
        return Leftover(thing, "stay", thing.why or kept or "It stays where it is.")
    if thing.kind in _CARRIED:
        return Leftover(thing, "move", "It moves unchanged.")
    if order.mode is AdoptMode.LINK and thing.kind == "token":
        return Leftover(thing, "copy", "It is copied to the new base, so you stay logged in.")
    if order.mode is AdoptMode.LINK and thing.kind in _ALONG:
        return Leftover(thing, "move", "It moves too, so the old path still leads to it.")
    return Leftover(thing, "stay", thing.why or _WHY_STAYS.get(thing.kind, "Its content is unknown."))


def with_need(plan: AdoptPlan, need_bytes: int, backup: str, notes: Iterable[str]) -> AdoptPlan:
    """Return a plan with its measured numbers."""
    return replace(plan, need_bytes=need_bytes, backup=backup, notes=tuple(notes))


@dataclass(frozen=True, slots=True)
class AdoptRequest(JobParams):
    """What a person asks for."""

    kind: ClassVar[JobKind] = JobKind.ADOPT

    path: str
    mode: AdoptMode
    to: str = "primary"
    merge: bool = False
    """Whether second copies of registered models are deleted."""
    copy: bool = False
    """Whether another program's files may be copied if they can't be linked."""
    repo_id: str = ""
    """The repository of a `local_dir`."""
    every: bool = False
    """Whether every known place is meant, and not a path."""
    strays: bool = False
    """Whether only models beside the `hub` of a tier are taken in, except unfinished ones."""

    def with_mode(self, mode: str) -> AdoptRequest:
        """Return the same request with another mode.

        >>> AdoptRequest("/old", AdoptMode.LEAVE, "secondary").with_mode("move").mode
        <AdoptMode.MOVE: 'move'>
        """
        return replace(self, mode=AdoptMode(mode))

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(
            path=text_of(said["path"]),
            mode=adopt_mode_of(text_of(said["mode"])),
            to=text_of(said["to"]),
            merge=flag_of(said["merge"]),
            copy=flag_of(said["copy"]),
            repo_id=text_of(said["repo_id"]),
            every=flag_of(said["every"]),
            strays=flag_of(said["strays"]),
        )


@dataclass(slots=True)
class Done:
    """What was done so far."""

    registered: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What wasn't done and why, in sentences."""
    notes: list[str] = field(default_factory=list)


def adopt_mode_of(word: str) -> AdoptMode:
    """Return an adopt mode by its name.

    Raises:
        BadInput: There is no such mode.
    """
    try:
        return AdoptMode(word)
    except ValueError:
        raise BadInput(f"{word!r} isn't a way to adopt.", hint="Use leave, move or link.", mode=word) from None
