"""What adopting will do or did, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from modelshelf.domain.adopt import Act, AdoptMode
from modelshelf.domain.adopt_inventory import Origin
from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.adopt import Adoption, AdoptPlan, Done, Leftover
    from modelshelf.domain.adopt_all import Going, PlacePlan


@dataclass(frozen=True)
class AdoptedModelJson(JsonObject):
    """A model that was found, and what happens with it."""

    model_name: str
    """Its name in the registry; empty if it gets none."""
    hf_path: str
    """Its repository; empty if none is known."""
    commit_hash: str
    """Its commit; made up from its files if none is known."""
    revision: str
    """A branch or tag of it; empty without one."""
    kind: Origin
    """The program that laid it out."""
    from_path: str
    """The folder that it is in."""
    files: int
    """How many of its files exist."""
    size_bytes: int
    """The total size of these."""
    action: Act
    """What happens with it."""
    detail: str
    """Why, in a sentence."""
    copy_of: str | None
    """The registered model that has the same files elsewhere; null without one."""
    note: str
    """What a person should know about it."""

    @classmethod
    def of(cls, adoption: Adoption) -> AdoptedModelJson:
        """Return the object for a model."""
        found = adoption.found
        return cls.like(
            found,
            model_name=adoption.model_name,
            hf_path=found.repo_id,
            from_path=found.place,
            files=len(found.files),
            action=adoption.act,
            detail=adoption.why,
            copy_of=adoption.copy_of or None,
        )


@dataclass(frozen=True)
class LeftoverJson(JsonObject):
    """Anything else that was found, and what happens with it."""

    kind: str
    """What it is, such as `dataset`, `xet` or `other`."""
    path: str
    """Its path."""
    size_bytes: int
    """Its size."""
    action: str
    """`move`, `copy` or `stay`."""
    detail: str
    """Why, in a sentence."""

    @classmethod
    def of(cls, other: Leftover) -> LeftoverJson:
        """Return the object for anything else."""
        return cls.like(other.thing, action=other.act, detail=other.why)


@dataclass(frozen=True)
class AdoptPlanJson(JsonObject):
    """What adopting will do."""

    path: str
    """The base that is adopted."""
    mode: AdoptMode
    """What happens: models are registered in place, moved, or moved and a link left behind."""
    cache_location: str
    """The models' tier."""
    cache_path: str
    """The base of that tier."""
    need_bytes: int
    """How many bytes that tier lacks."""
    backup: str
    """The old base's path once a link replaces it; empty without a link."""
    models: Sequence[AdoptedModelJson]
    """Every model that was found."""
    others: Sequence[LeftoverJson]
    """Everything else that was found."""
    notes: Sequence[str]
    """What a person should know, in sentences."""

    @classmethod
    def of(cls, plan: AdoptPlan, **more: object) -> Self:
        """Return the object for a plan.

        Args:
            plan: The plan.
            more: Further or different fields of a subclass.
        """
        facts = {
            "path": plan.order.base,
            "mode": plan.order.mode,
            "cache_location": plan.order.target_location,
            "cache_path": plan.order.target,
            "models": [AdoptedModelJson.of(adoption) for adoption in plan.models],
            "others": [LeftoverJson.of(other) for other in plan.others],
        }
        return cls.like(plan, **facts | more)


@dataclass(frozen=True)
class AdoptedJson(AdoptPlanJson):
    """What adopting did."""

    registered: Sequence[str]
    """The models that were registered in place."""
    moved: Sequence[str]
    """The models that were moved or linked into the tier."""
    merged: Sequence[str]
    """The models whose second copy was deleted."""
    left: Sequence[str]
    """What wasn't done and why, in sentences."""
    stayed: Sequence[LeftoverJson]
    """What is still in the old base."""

    @classmethod
    def done(cls, plan: AdoptPlan, done: Done, after: AdoptPlan, backup: str) -> AdoptedJson:
        """Return the object for a report.

        Args:
            plan: The plan.
            done: What was done.
            after: The plan afterwards: what stayed and why.
            backup: The old base's path; empty unless a link replaced it.
        """
        return cls.of(
            plan,
            backup=backup,
            notes=done.notes,
            registered=done.registered,
            moved=done.moved,
            merged=done.merged,
            left=done.left,
            stayed=[LeftoverJson.of(other) for other in after.others],
        )


@dataclass(frozen=True)
class GoingJson(JsonObject):
    """A model that was found at a known place, and where it goes."""

    model_name: str
    """Its name in the registry; empty if it gets none."""
    hf_path: str
    """Its repository; empty if none is known."""
    from_path: str
    """The folder that it is in."""
    size_bytes: int
    """The total size of its files there."""
    saved_bytes: int
    """What one copy saves of that: what another place or the library has too."""
    action: Act
    """What happens with it."""
    cache_location: str
    """Its tier; empty if it stays, or the library has its weights already."""
    detail: str
    """Why, in a sentence."""

    @classmethod
    def of(cls, going: Going) -> GoingJson:
        """Return the object for a model."""
        found, adoption = going.adoption.found, going.adoption
        return cls.like(
            going,
            model_name=adoption.model_name,
            hf_path=found.repo_id,
            from_path=found.place,
            size_bytes=found.size_bytes,
            action=adoption.act,
            cache_location=going.location,
            detail=adoption.why,
        )


@dataclass(frozen=True)
class UnreadJson(JsonObject):
    """Something that no reader understands; it stays."""

    path: str
    """Its path."""
    size_bytes: int
    """Its size."""
    why: str
    """Why it stays, in a sentence."""


@dataclass(frozen=True)
class PlacePlanJson(JsonObject):
    """What happens in a known place."""

    program: str
    """The program that keeps models there."""
    path: str
    """The folder."""
    mode: AdoptMode
    """`link`, or `leave` for a cache whose models are registered where they are."""
    size_bytes: int
    """The bytes of the models there."""
    saved_bytes: int
    """What one copy saves of that."""
    models: Sequence[GoingJson]
    """The models that were found."""
    others: Sequence[UnreadJson]
    """What no reader understands."""
    trouble: str
    """Why nothing of it can be taken in; empty if something can."""

    @classmethod
    def of(cls, plan: PlacePlan) -> PlacePlanJson:
        """Return the object for a place."""
        return cls.like(
            plan,
            program=plan.place.program,
            path=plan.place.path,
            mode=plan.place.mode,
            trouble=plan.place.trouble,
            models=[GoingJson.of(going) for going in plan.models],
            others=[UnreadJson.like(thing) for thing in plan.place.others],
        )


@dataclass(frozen=True)
class AdoptAllPlanJson(JsonObject):
    """What taking everything in will do."""

    places: Sequence[PlacePlanJson]
    """Each known place that holds something."""
    size_bytes: int
    """The bytes of all models."""
    saved_bytes: int
    """What one copy saves, as far as sizes and samples of the files tell."""

    @classmethod
    def of(cls, plans: Sequence[PlacePlan]) -> AdoptAllPlanJson:
        """Return the object for the places."""
        sizes = [(plan.size_bytes, plan.saved_bytes) for plan in plans]
        return cls([PlacePlanJson.of(plan) for plan in plans], sum(a for a, _ in sizes), sum(b for _, b in sizes))


@dataclass(frozen=True)
class FailedPlaceJson(JsonObject):
    """A place of which nothing was taken in."""

    program: str
    """The program that keeps models there."""
    path: str
    """The folder."""
    detail: str
    """Why, in a sentence."""


@dataclass(frozen=True)
class AdoptedAllJson(JsonObject):
    """What taking everything in did."""

    places: Sequence[AdoptedJson]
    """What was done in each place."""
    failed: Sequence[FailedPlaceJson]
    """Where nothing was done."""
