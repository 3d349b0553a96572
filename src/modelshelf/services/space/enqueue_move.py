"""Queuing a move, for a person or to make room; `lifecycle.move` runs it."""

from __future__ import annotations

import contextlib

from modelshelf.domain.job_params import MoveParams, params_of
from modelshelf.domain.jobs import A_PERSON, UNFINISHED, Cause, Job, JobKind
from modelshelf.domain.models import ModelRow
from modelshelf.domain.tiers import Tier, Tiers
from modelshelf.errors import BadInput, Conflict
from modelshelf.registry.registry import Registry


def enqueue_move(
    registry: Registry,
    tiers: Tiers,
    row: ModelRow,
    tier: Tier,
    *,
    keep_source: bool,
    makes_room: bool = False,
    cause: Cause = A_PERSON,
) -> Job:
    """Return a new job that moves a model, or the one that a killed process left.

    Args:
        registry: The registry.
        tiers: The tiers of this process.
        row: The model.
        tier: The target.
        keep_source: Whether the source keeps its copy.
        makes_room: Whether it is an eviction, which the next process that needs room finishes after a crash.
        cause: Why the move is needed.

    Raises:
        Conflict: A job moves it elsewhere.
    """
    params = MoveParams(tier.location, tiers.stored_path(tier.base), keep_source, makes_room)
    job = registry.enqueue(JobKind.MOVE, row, params.to_json(), cause)
    if not is_such_a_move(tiers, job, tier, keep_source=keep_source):
        raise Conflict(f"Job {job.id} moves {row.model_name} elsewhere.", hint=f"shelf cancel {job.id}", job_id=job.id)
    return job


def left_move(registry: Registry, tiers: Tiers, row: ModelRow, tier: Tier, *, keep_source: bool) -> Job | None:
    """Return the unfinished job that moves a model to that tier; None without one."""
    for job in registry.jobs(kind=JobKind.MOVE, model_id=row.id, state=UNFINISHED):
        if is_such_a_move(tiers, job, tier, keep_source=keep_source):
            return job
    return None


def is_such_a_move(tiers: Tiers, job: Job, tier: Tier, *, keep_source: bool) -> bool:
    """Return whether a job moves to that tier, whatever path the process that made it has for the base."""
    with contextlib.suppress(BadInput):
        params = params_of(job, MoveParams)
        to = tiers.resolve(params.cache_location, params.cache_path)
        return (to.base, params.keep_source) == (tier.base, keep_source)
    return False
