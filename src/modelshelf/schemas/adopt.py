"""How adopting looks as JSON: one shape for `--json`, for HTTP and for a job's result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelshelf.domain.adopt import Adoption, AdoptPlan, Leftover

if TYPE_CHECKING:
    from modelshelf.domain.adopt import Done


def adopt_view(plan: AdoptPlan) -> dict[str, Any]:
    """Return what adopting will do."""
    order = plan.order
    return {
        "path": order.base,
        "mode": order.mode.value,
        "cache_location": order.target_location,
        "cache_path": order.target,
        "need_bytes": plan.need_bytes,
        "backup": plan.backup,
        "models": [_model_view(adoption) for adoption in plan.models],
        "others": [_other_view(other) for other in plan.others],
        "notes": list(plan.notes),
    }


def adopted_view(plan: AdoptPlan, done: Done, after: AdoptPlan) -> dict[str, Any]:
    """Return what adopting did.

    Args:
        plan: What it was to do.
        done: What it did.
        after: What would be left to do now: what stayed and why.
    """
    return adopt_view(plan) | {
        "registered": done.registered,
        "moved": done.moved,
        "merged": done.merged,
        "left": done.left,
        "stayed": [_other_view(other) for other in after.others],
        "notes": done.notes,
    }


def _model_view(adoption: Adoption) -> dict[str, Any]:
    found = adoption.found
    return {
        "model_name": adoption.model_name,
        "hf_path": found.repo_id,
        "commit_hash": found.commit_hash,
        "revision": found.revision,
        "kind": found.kind.value,
        "from_path": found.place,
        "files": len(found.files),
        "size_bytes": found.size_bytes,
        "action": adoption.act.value,
        "detail": adoption.why,
        "copy_of": adoption.copy_of or None,
        "note": found.note,
    }


def _other_view(other: Leftover) -> dict[str, Any]:
    return {
        "kind": other.thing.kind,
        "path": other.thing.path,
        "size_bytes": other.thing.size_bytes,
        "action": other.act,
        "detail": other.why,
    }
