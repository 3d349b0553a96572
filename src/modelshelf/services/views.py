"""How things look as JSON: one shape each, for `--json` and for HTTP. Times are RFC 3339 in UTC, sizes are bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelshelf.domain.jobs import Job
from modelshelf.domain.models import FileEntry, Model
from modelshelf.domain.tiers import TierStatus
from modelshelf.units import rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.eviction import EvictionPlan
    from modelshelf.domain.leases import Lease
    from modelshelf.domain.plans import MovePlan
    from modelshelf.services.load import Trial
    from modelshelf.services.register import AddPlan
    from modelshelf.services.remove import Removed


def _time(epoch_s: float | None) -> str | None:
    return None if epoch_s is None else rfc3339(epoch_s)


def model_view(model: Model, files: Sequence[FileEntry] | None = None) -> dict[str, Any]:
    """Return a model; with `files`, each of them too."""
    row = model.row
    view: dict[str, Any] = {
        "model_name": row.model_name,
        "hf_path": row.hf_path,
        "revision": row.revision,
        "commit_hash": row.commit_hash,
        "cache_location": row.cache_location,
        "cache_path": model.base,
        "path": model.path,
        "state": model.state.value,
        "detail": model.detail,
        "size_bytes": row.size_bytes,
        "allow_patterns": list(row.allow_patterns),
        "pinned": row.pinned,
        "pin_reason": row.pin_reason,
        "created_at": _time(row.created_at),
        "last_used_at": _time(row.last_used_at),
        "uses": row.uses,
        "job_id": row.job_id,
    }
    if files is not None:
        view["files"] = [{"path": f.path, "size_bytes": f.size_bytes, "digest": f.digest} for f in files]
    return view


def tier_view(status: TierStatus) -> dict[str, Any]:
    """Return a tier."""
    return {
        "cache_location": status.tier.location,
        "cache_path": status.tier.base,
        "online": status.online,
        "detail": status.detail,
        "limit_bytes": status.tier.limit_bytes,
        "usage_bytes": status.usage.apparent_bytes,
        "allocated_bytes": status.usage.allocated_bytes,
        "reserved_bytes": status.reserved_bytes,
        "free_bytes": status.free_bytes,
        "warning": status.warning,
        "breakdown": dict(status.usage.breakdown),
    }


def job_view(job: Job) -> dict[str, Any]:
    """Return a job."""
    return {
        "id": job.id,
        "kind": job.kind,
        "model_name": job.model_name,
        "state": job.state,
        "phase": job.phase,
        "done_bytes": job.done_bytes,
        "total_bytes": job.total_bytes,
        "rate_bytes_per_s": job.rate_bytes_per_s,
        "eta_s": job.eta_s,
        "detail": job.detail,
        "error": json.loads(job.error) if job.error else None,
        "attempts": job.attempts,
        "due_at": _time(job.due_at) if job.state == "waiting" else None,
        "created_at": _time(job.created_at),
        "finished_at": _time(job.finished_at),
    }


def eviction_view(plan: EvictionPlan | None) -> list[dict[str, Any]]:
    """Return which models leave a tier to make room, coldest first; none where it fits as it is."""
    victims = plan.victims if plan is not None else ()
    return [{"model_name": victim.model_name, "free_bytes": victim.free_bytes} for victim in victims]


def add_view(plan: AddPlan) -> dict[str, Any]:
    """Return what registering a model and pulling it will do."""
    return {
        "model_name": plan.wanted.model_name,
        "hf_path": plan.wanted.hf_path,
        "commit_hash": plan.commit_hash,
        "cache_location": plan.tier.location,
        "cache_path": plan.tier.base,
        "size_bytes": plan.size_bytes,
        "fetch_bytes": plan.fetch_bytes,
        "makes_room": eviction_view(plan.makes_room),
    }


def move_view(plan: MovePlan) -> dict[str, Any]:
    """Return what a move will do."""
    return {
        "model_name": plan.model_name,
        "from_path": plan.source,
        "cache_location": plan.target_location,
        "cache_path": plan.target,
        "method": plan.method,
        "size_bytes": plan.total_bytes,
        "transfer_bytes": plan.transfer_bytes,
        "keep_source": plan.keep_source,
    }


def lease_view(lease: Lease) -> dict[str, Any]:
    """Return a lease."""
    return {
        "id": lease.id,
        "model_name": lease.model_name,
        "cache_path": lease.cache_path,
        "kind": lease.kind,
        "holder": lease.holder,
        "expires_at": _time(lease.expires_at),
    }


def removed_view(removed: Removed) -> dict[str, Any]:
    """Return what a removal did."""
    return {
        "model_name": removed.model_name,
        "removed_files": [*removed.plan.links, *removed.plan.blobs],
        "freed_bytes": removed.freed.apparent_bytes,
        "freed_allocated_bytes": removed.freed.allocated_bytes,
    }


def trial_view(trial: Trial) -> dict[str, Any]:
    """Return what trying a model out took."""
    return {
        "load_s": round(trial.load_s, 3),
        "answer_s": round(trial.answer_s, 3),
        "memory_bytes": trial.memory_bytes,
        "prompt": trial.prompt,
        "answer": trial.answer,
    }
