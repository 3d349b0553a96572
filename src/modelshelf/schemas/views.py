"""How things look as JSON: one shape each, for `--json` and for HTTP. Times are RFC 3339 in UTC, sizes are bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modelshelf.domain.disks import Capabilities
from modelshelf.domain.doctor_report import Report, Severity
from modelshelf.domain.gc import DedupePlan, GcItem, GcPlan, Tidied
from modelshelf.domain.jobs import Job
from modelshelf.domain.models import FileEntry, Model
from modelshelf.domain.outside import parse_json
from modelshelf.domain.reconcile import ReconcilePlan, Step
from modelshelf.domain.tiers import Tier, TierStatus
from modelshelf.domain.verify_report import Finding, VerifyReport
from modelshelf.errors import BadInput
from modelshelf.units import rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.eviction import EvictionPlan
    from modelshelf.domain.leases import Lease
    from modelshelf.domain.outcomes import Ran, Removed, Trial, Written
    from modelshelf.domain.plans import AddPlan, MovePlan, UpdatePlan
    from modelshelf.domain.setup import Disk, Setup, Surroundings
    from modelshelf.domain.systemd_unit import UnitPlan

_ITEMS_SHOWN = 1000
"""A job keeps its result in one row."""


def time_view(epoch_s: float | None) -> str | None:
    """Return a time; None for one that is not."""
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
        "created_at": time_view(row.created_at),
        "last_used_at": time_view(row.last_used_at),
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
        "free_entries": status.free_entries,
        "warning": status.warning,
        "writable": status.writable,
        "breakdown": dict(status.usage.breakdown),
        "capabilities": capabilities_view(status.capabilities),
    }


def capabilities_view(can: Capabilities | None) -> dict[str, Any] | None:
    """Return what a file system can; None where that is not known."""
    return None if can is None else {**asdict(can), "weaknesses": list(can.weaknesses)}


def _json(text: str) -> object:
    """Return what a column of JSON says; None where it says nothing, or can't be understood."""
    with contextlib.suppress(BadInput):
        return parse_json(text) if text else None
    return None


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
        "error": _json(job.error),
        "result": _json(job.result),
        "parent_id": job.parent_id,
        "reason": job.reason,
        "attempts": job.attempts,
        "due_at": time_view(job.due_at) if job.state == "waiting" else None,
        "created_at": time_view(job.created_at),
        "finished_at": time_view(job.finished_at),
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
        "note": plan.note,
        "makes_room": eviction_view(plan.makes_room),
    }


def update_view(plan: UpdatePlan) -> dict[str, Any]:
    """Return what an update will do."""
    return {
        "model_name": plan.model_name,
        "hf_path": plan.repo_id,
        "revision": plan.revision,
        "old_commit": plan.old_commit,
        "new_commit": plan.new_commit,
        "is_current": plan.is_current,
        "size_bytes": plan.total_bytes,
        "fetch_bytes": plan.fetch_bytes,
        "shared_bytes": plan.shared_bytes,
        "keep_old": plan.keep_old,
        "note": plan.note,
    }


def reconcile_view(plan: ReconcilePlan, skipped: Sequence[Step] = ()) -> dict[str, Any]:
    """Return what reconciling does or did."""
    return {
        "steps": [
            {"action": s.action.value, "model_name": s.model_name, "cache_path": s.base, "detail": s.why}
            for s in plan.steps
            if s not in skipped
        ],
        "skipped": [{"model_name": step.model_name, "cache_path": step.base, "detail": step.why} for step in skipped],
        "untouched": [{"model_name": left.model_name, "detail": left.why} for left in plan.untouched],
        "unregistered": [
            {
                "hf_path": found.repo_id,
                "commit_hash": found.commit_hash,
                "cache_path": found.base,
                "size_bytes": found.size_bytes,
                "copy_of": found.copy_of or None,
            }
            for found in plan.unregistered
        ],
    }


def lease_view(lease: Lease) -> dict[str, Any]:
    """Return a lease."""
    return {
        "id": lease.id,
        "model_name": lease.model_name,
        "cache_path": lease.cache_path,
        "kind": lease.kind,
        "holder": lease.holder,
        "expires_at": time_view(lease.expires_at),
    }


def report_view(report: VerifyReport) -> dict[str, Any]:
    """Return what a verification read and found."""
    return {
        "checked_blobs": report.checked_blobs,
        "checked_bytes": report.checked_bytes,
        "skipped_blobs": report.skipped_blobs,
        "skipped_bytes": report.skipped_bytes,
        "offline": list(report.offline),
        "wrong": len(report.wrong),
        "findings": [_finding_view(finding) for finding in report.findings],
    }


def _finding_view(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "base": finding.base,
        "path": finding.path,
        "repo_id": finding.repo_id,
        "file": finding.file,
        "model_name": finding.model_name,
        "digest": finding.digest,
        "commit_hash": finding.commit_hash,
        "fact": finding.fact,
        "repaired": finding.repaired,
        "quarantined": finding.quarantined,
        "trouble": finding.trouble,
        "detail": finding.detail,
        "hint": finding.hint,
    }


def removed_view(removed: Removed) -> dict[str, Any]:
    """Return what a removal did."""
    return {
        "model_name": removed.model_name,
        "removed_files": [*removed.plan.links, *removed.plan.blobs],
        "freed_bytes": removed.freed.apparent_bytes,
        "freed_allocated_bytes": removed.freed.allocated_bytes,
        "kept": removed.kept,
        "needed_by": removed.needed_by,
    }


def gc_plan_view(tier: Tier, plan: GcPlan) -> dict[str, Any]:
    """Return what collecting garbage would delete on one tier."""
    return {
        "cache_location": tier.location,
        "cache_path": tier.base,
        "items": _item_views(plan.items),
        "free_bytes": plan.free_bytes,
        "quarantine_bytes": plan.quarantine_bytes,
        "recent_bytes": plan.recent_bytes,
        "notes": list(plan.notes),
    }


def dedupe_plan_view(tier: Tier, plan: DedupePlan) -> dict[str, Any]:
    """Return which blobs of one tier would share their bytes."""
    items = [
        {
            "kind": plan.method,
            "path": path,
            "size_bytes": group.size_bytes,
            "why": f"identical to {group.keep}",
            "age_s": 0.0,
        }
        for group in plan.groups
        for path in group.others
    ]
    return {
        "cache_location": tier.location,
        "cache_path": tier.base,
        "items": items,
        "share_bytes": plan.share_bytes,
        "notes": list(plan.notes),
    }


def tidied_view(done: Tidied) -> dict[str, Any]:
    """Return what `gc` or `dedupe` did on one tier, with its first items."""
    return {
        "cache_location": done.location,
        "cache_path": done.base,
        "items": _item_views(done.items[:_ITEMS_SHOWN]),
        "items_in_all": len(done.items),
        "freed_bytes": done.freed_bytes,
        "freed_allocated_bytes": done.freed_allocated_bytes,
        "shared_bytes": done.shared_bytes,
        "quarantine_bytes": done.quarantine_bytes,
        "recent_bytes": done.recent_bytes,
        "notes": list(done.notes),
    }


def _item_views(items: Iterable[GcItem]) -> list[dict[str, Any]]:
    return [
        {
            "kind": item.kind,
            "path": item.path,
            "size_bytes": item.size_bytes,
            "why": item.why,
            "age_s": round(item.age_s, 1),
        }
        for item in items
    ]


def trial_view(trial: Trial) -> dict[str, Any]:
    """Return what trying a model out took."""
    return {
        "load_s": round(trial.load_s, 3),
        "answer_s": round(trial.answer_s, 3),
        "memory_bytes": trial.memory_bytes,
        "prompt": trial.prompt,
        "answer": trial.answer,
    }


def unit_view(plan: UnitPlan, ran: Sequence[Ran] = ()) -> dict[str, Any]:
    """Return what happens to the unit of the server, and which of its commands were run."""
    done = {step.command for step in ran if step.ran}
    commands = [{"command": list(command), "ran": command in done} for command in (*plan.before, *plan.after)]
    return {
        "path": plan.path,
        "text": plan.text,
        "replaces": plan.replaces,
        "left_out": list(plan.left_out),
        "commands": commands,
    }


def setup_view(
    around: Surroundings, disks: Sequence[Disk], setup: Setup, text: str, written: Written | None
) -> dict[str, Any]:
    """Return what setting up found and wrote."""
    return {
        "path": str(around.env_file),
        "written": written is not None,
        "backup": str(written.backup) if written and written.backup else None,
        "text": text,
        "disks": [asdict(disk) | {"limit_gb": disk.limit_gb} for disk in disks],
        "primary": asdict(setup.primary),
        "secondary": asdict(setup.secondary) if setup.secondary else None,
        "environment_wins": [name for name in around.exported if f"{name}=" in text],
        "usual_path": str(around.usual),
        "usual_models": around.usual_models,
        "tools_elsewhere": around.tools_elsewhere,
    }


def doctor_view(report: Report, where: Mapping[str, str]) -> dict[str, Any]:
    """Return what the doctor found and did, and where."""
    return {
        **where,
        "errors": report.errors,
        "warnings": report.count(Severity.WARNING),
        "fixed": list(report.fixed),
        "findings": [
            {
                "severity": found.severity.value,
                "topic": found.topic,
                "detail": found.detail,
                "command": found.command,
                "path": found.path,
                "size_bytes": found.size_bytes,
                "fixable": bool(found.fix),
            }
            for found in report.found
        ],
    }
