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
