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
    """One step."""

    action: Action
    """What is done."""
    model_name: str
    """Its model; empty for a base as a whole."""
    cache_path: str
    """The base."""
    detail: str
    """Why, in a sentence."""


@dataclass(frozen=True)
class SkippedJson(JsonObject):
    """A step that no longer applied when its turn came: run reconcile again."""

    model_name: str
    """Its model."""
    cache_path: str
    """The base."""
    detail: str
    """Why it was planned, in a sentence."""


@dataclass(frozen=True)
class UntouchedJson(JsonObject):
    """A model that wasn't changed."""

    model_name: str
    """Its name."""
    detail: str
    """Why, in a sentence."""


@dataclass(frozen=True)
class UnregisteredJson(JsonObject):
    """A whole snapshot without a registered model."""

    hf_path: str
    """Its repository."""
    commit_hash: str
    """Its commit."""
    cache_path: str
    """Its base."""
    size_bytes: int
    """Its size."""
    copy_of: str | None
    """The model with the same files elsewhere; null without one."""


@dataclass(frozen=True)
class ReconciledJson(JsonObject):
    """What reconciling will do or did."""

    steps: Sequence[StepJson]
    """The steps, in this order."""
    skipped: Sequence[SkippedJson]
    """Steps that were skipped because something had changed."""
    untouched: Sequence[UntouchedJson]
    """Models on tiers that are offline, and models that a job works on."""
    unregistered: Sequence[UnregisteredJson]
    """Whole snapshots without a registered model; they are only named."""

    @classmethod
    def of(cls, plan: ReconcilePlan, skipped: Sequence[Step] = ()) -> ReconciledJson:
        """Return the object for a plan or report.

        Args:
            plan: The plan.
            skipped: The steps that weren't done.
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
