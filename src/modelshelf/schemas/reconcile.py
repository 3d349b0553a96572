"""What reconciling will do or did, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.domain.reconcile import Action
from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.reconcile import ReconcilePlan, Step


@dataclass(frozen=True)
class StepJson(JsonObject):
    """One thing that is brought in line."""

    action: Action
    """What is done."""
    model_name: str
    """The model that it is about; empty for a base as such."""
    cache_path: str
    """The base."""
    detail: str
    """Why, in a sentence."""


@dataclass(frozen=True)
class SkippedJson(JsonObject):
    """A step that no longer held when its turn came: run it again."""

    model_name: str
    """The model that it is about."""
    cache_path: str
    """The base."""
    detail: str
    """Why it was to be done, in a sentence."""


@dataclass(frozen=True)
class UntouchedJson(JsonObject):
    """A model that is left as it is."""

    model_name: str
    """Its name."""
    detail: str
    """Why, in a sentence."""


@dataclass(frozen=True)
class UnregisteredJson(JsonObject):
    """A whole snapshot that belongs to no registered model."""

    hf_path: str
    """Its repository."""
    commit_hash: str
    """Its commit."""
    cache_path: str
    """The base that it lies in."""
    size_bytes: int
    """Its size."""
    copy_of: str | None
    """The model that has the same files elsewhere; null without one."""


@dataclass(frozen=True)
class ReconciledJson(JsonObject):
    """What reconciling does or did."""

    steps: Sequence[StepJson]
    """What is brought in line, in this order."""
    skipped: Sequence[SkippedJson]
    """What changed meanwhile, and was left."""
    untouched: Sequence[UntouchedJson]
    """Models on tiers that are offline, and models that a job works on."""
    unregistered: Sequence[UnregisteredJson]
    """Whole snapshots that belong to no registered model; they are only named."""

    @classmethod
    def of(cls, plan: ReconcilePlan, skipped: Sequence[Step] = ()) -> ReconciledJson:
        """Return what reconciling does, or did.

        Args:
            plan: What it was to do.
            skipped: The steps of it that weren't done.
        """
        return cls(
            steps=[
                StepJson(step.action, step.model_name, step.base, step.why)
                for step in plan.steps
                if step not in skipped
            ],
            skipped=[SkippedJson(step.model_name, step.base, step.why) for step in skipped],
            untouched=[UntouchedJson(left.model_name, left.why) for left in plan.untouched],
            unregistered=[
                UnregisteredJson(found.repo_id, found.commit_hash, found.base, found.size_bytes, found.copy_of or None)
                for found in plan.unregistered
            ],
        )
