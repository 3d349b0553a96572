"""Rows that more than one module writes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from modelshelf.domain.jobs import A_PERSON, QUEUED, Cause, Job, JobKind
from modelshelf.domain.outside import object_of, parse_json
from modelshelf.domain.weight_files import WeightFormat
from modelshelf.errors import BadInput
from modelshelf.registry.database import db_now
from modelshelf.registry.tables import files, jobs, models

if TYPE_CHECKING:
    from modelshelf.domain.job_params import OldCopy

_log = logging.getLogger(__name__)
LEASE_S = 60.0
"""How long a reservation or a running job lives without a heartbeat, in seconds."""
JOB_COLUMNS = [column for column in jobs.c if column.name in Job.__slots__]
"""The columns of a `Job`, in its order."""


def new_job(
    kind: str,
    model_name: str,
    params: Mapping[str, object] | None,
    cause: Cause = A_PERSON,
    tiers: Iterable[object] = (),
) -> dict[str, object]:
    """Return the columns of a new job.

    Args:
        kind: What to do.
        model_name: The model that it is about, for people.
        params: The kind's parameters, as JSON values.
        cause: Why it exists.
        tiers: The locations of the tiers that it works on; None: unknown.
    """
    return {
        "tiers": ",".join(str(tier) for tier in tiers if tier), "files": "",
        "kind": kind, "model_id": None, "model_name": model_name, "params": json.dumps(dict(params or {})),
        "state": QUEUED, "owner": "", "phase": "", "done_bytes": 0, "total_bytes": 0, "rate_bytes_per_s": 0,
        "detail": "", "error": "", "result": "", "attempts": 0,
        "due_at": 0.0, "heartbeat_at": db_now(), "created_at": db_now(),
        "parent_id": cause.parent_id, "reason": cause.reason, "priority": 0, "disk": "", "ready_at": 0.0,
    }  # fmt: skip


def columns_of(written: WeightFormat) -> dict[str, str]:
    """Return the columns of a model that say how its weights are written."""
    return {"format": written.format[:40], "quantisation": written.quantisation[:80]}


def new_deletion(model_name: str, old_copy: OldCopy, cause: Cause = A_PERSON) -> dict[str, object]:
    """Return the columns of the job that deletes an old copy."""
    return new_job(JobKind.DELETE_OLD_COPY, model_name, old_copy.to_json(), cause)


def drop_manifests(connection: sa.Connection, repo_id: str | None = None) -> None:
    """Delete the manifests that no model has.

    Args:
        connection: One in a transaction.
        repo_id: Of this repository alone; None: of all, which reads every row of every manifest.
    """
    used = sa.exists().where((models.c.hf_path == files.c.hf_path) & (models.c.commit_hash == files.c.commit_hash))
    gone = sa.delete(files).where(~used)
    connection.execute(gone if repo_id is None else gone.where(files.c.hf_path == repo_id))


def has_params(job: Job) -> bool:
    """Return whether a job's parameters can be read; if not, that is logged."""
    try:
        object_of(parse_json(job.params))
    except BadInput as err:
        _log.warning("job_left_out", extra={"id": job.id, "detail": err.detail})
        return False
    return True
