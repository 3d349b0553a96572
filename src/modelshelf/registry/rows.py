"""Rows that more than one module writes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modelshelf.domain.jobs import QUEUED
from modelshelf.registry.engine import db_now

LEASE_S = 60.0
"""How long a reservation or a running job lives without its owner's word."""


def new_job(kind: str, model_name: str, params: Mapping[str, object] | None) -> dict[str, object]:
    """Return the columns of a new job.

    Args:
        kind: What is to be done.
        model_name: What it is about, for people.
        params: What the kind needs; JSON values.
    """
    return {
        "kind": kind, "model_id": None, "model_name": model_name, "params": json.dumps(dict(params or {})),
        "state": QUEUED, "owner": "", "phase": "", "done_bytes": 0, "total_bytes": 0, "rate_bytes_per_s": 0,
        "detail": "", "error": "", "result": "", "attempts": 0,
        "due_at": 0.0, "heartbeat_at": db_now(), "created_at": db_now(),
    }  # fmt: skip
