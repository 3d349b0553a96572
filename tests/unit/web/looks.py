"""Libraries for tests of the page's view models."""

from __future__ import annotations

from collections.abc import Sequence

from modelshelf.domain.jobs import RUNNING, Job
from modelshelf.domain.models import Model, ModelRow, State
from modelshelf.domain.names import CommitHash, ModelName, RefName, RepoId
from modelshelf.schemas.tiers import CapabilitiesJson, TierJson
from modelshelf.server.web.look import Look

DAY_S = 86400.0
NOW_S = 1000 * DAY_S
GB = 10**9


def tier(location: str = "primary", **facts: object) -> TierJson:
    """Return a tier of 100 GB that holds 50 GB of models."""
    values: dict[str, object] = {
        "cache_location": location,
        "cache_path": f"/{location}",
        "online": True,
        "detail": "",
        "limit_bytes": 100 * GB,
        "usage_bytes": 50 * GB,
        "allocated_bytes": 50 * GB,
        "reserved_bytes": 0,
        "free_bytes": 500 * GB,
        "free_entries": None,
        "warning": False,
        "writable": True,
        "breakdown": {"models": 50 * GB},
        "capabilities": CapabilitiesJson(True, True, False, True, True, True, False, None, "ext4", []),
    }
    return TierJson(**(values | facts))


def row(name: str, **facts: object) -> ModelRow:
    """Return a whole model of 10 GB on the primary that was used yesterday."""
    values: dict[str, object] = {
        "id": sum(byte * 7**at for at, byte in enumerate(name.encode())),
        "model_name": ModelName(name),
        "hf_path": RepoId(f"org/{name}"),
        "revision": RefName("main"),
        "commit_hash": CommitHash("a" * 40),
        "cache_location": "primary",
        "cache_path": "/primary",
        "allow_patterns": (),
        "pinned": False,
        "pin_reason": "",
        "complete": True,
        "signature": "x",
        "size_bytes": 10 * GB,
        "format": "GGUF",
        "quantisation": "Q4_K_M",
        "created_at": 0.0,
        "arrived_at": 0.0,
        "last_used_at": NOW_S - DAY_S,
        "uses": 3,
        "job_id": None,
        "job_kind": "",
        "job_state": "",
        "job_detail": "",
        "job_done_bytes": 0,
        "job_total_bytes": 0,
        "job_owner": "",
    }
    return ModelRow(**(values | facts))


def job(kind: str = "pull", **facts: object) -> Job:
    """Return a job that runs at 1 GB/s and is at 4 of 10 GB."""
    values: dict[str, object] = {
        "id": 1,
        "kind": kind,
        "model_id": None,
        "model_name": "m",
        "params": "{}",
        "state": RUNNING,
        "phase": "downloading",
        "done_bytes": 4 * GB,
        "total_bytes": 10 * GB,
        "rate_bytes_per_s": GB,
        "detail": "",
        "error": "",
        "result": "",
        "attempts": 1,
        "due_at": 0.0,
        "owner": "",
        "heartbeat_at": 0.0,
        "created_at": NOW_S - 10,
        "finished_at": None,
        "parent_id": None,
        "reason": "",
    }
    return Job(**(values | facts))


def look(*rows: ModelRow, tiers: Sequence[TierJson] = (), jobs: Sequence[Job] = ()) -> Look:
    """Return a library with these models, by default on a primary and a secondary."""
    return Look(
        now_s=NOW_S,
        change_id=7,
        tiers=tiers or (tier(), tier("secondary")),
        warn_share=0.9,
        models=rows,
        bases={one.id: one.cache_path for one in rows},
        jobs=jobs,
    )


def at(rows: Sequence[ModelRow]) -> list[Model]:
    """Return models as the library would, without a disk."""
    return [
        Model(one, one.cache_path, None, State.READY if one.complete else State.FAILED, one.job_detail) for one in rows
    ]
