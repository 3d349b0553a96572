"""Jobs as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from modelshelf.domain.jobs import JobKind
from modelshelf.domain.outside import parse_json
from modelshelf.errors import BadInput
from modelshelf.schemas.adopt import AdoptedJson
from modelshelf.schemas.garbage import TidyReportJson
from modelshelf.schemas.json_object import JsonObject, time_or_none
from modelshelf.schemas.models import EvictedJson
from modelshelf.schemas.reconcile import ReconciledJson
from modelshelf.schemas.reports import VerifyReportJson
from modelshelf.units import rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job


@dataclass(frozen=True)
class JobJson(JsonObject):
    """Long work, as any process sees it."""

    id: int
    """Its number; newer jobs have higher ones."""
    kind: JobKind
    """What it does."""
    model_name: str
    """The model that it works on; empty for work on a whole tier."""
    state: str
    """`queued`, `running`, `waiting`, `done`, `failed` or `cancelled`."""
    phase: str
    """What it does at the moment, in a word; empty before it began."""
    done_bytes: int
    """How far it is."""
    total_bytes: int
    """How far it goes; 0 while that isn't known."""
    rate_bytes_per_s: int
    """How fast it is now."""
    eta_s: float | None
    """Seconds until it is done at this rate; null where that can't be said."""
    detail: str
    """What it waits for or failed with, in a sentence."""
    error: Mapping[str, object] | None
    """What it failed with, as a problem document; null without a failure."""
    result: VerifyReportJson | TidyReportJson | ReconciledJson | AdoptedJson | Mapping[str, object] | None
    """What it found or did, kept as it goes; null for kinds that have none, such as `pull`."""
    parent_id: int | None
    """The job that caused it; null where a person did, or that job is gone with its model."""
    reason: str
    """Why another job, or a policy, caused it, in a sentence; empty where a person asked for it."""
    attempts: int
    """How often it was tried."""
    due_at: str | None
    """When it is tried again; null unless it waits."""
    created_at: str
    """When it was asked for."""
    finished_at: str | None
    """When it ended; null until then."""

    @classmethod
    def of(cls, job: Job, **more: object) -> Self:
        """Return a job.

        Args:
            job: It.
            more: What a subclass has beyond that.
        """
        return cls.like(
            job,
            error=_object(job.error),
            result=_object(job.result),
            due_at=time_or_none(job.due_at) if job.state == "waiting" else None,
            created_at=rfc3339(job.created_at),
            finished_at=time_or_none(job.finished_at),
            **more,
        )


@dataclass(frozen=True)
class MoveJobJson(JobJson):
    """The job of a move that was just asked for, and what leaves the target for it."""

    makes_room: Sequence[EvictedJson]
    """The models that leave the target for it, coldest first."""


def _object(text: str) -> Mapping[str, object] | None:
    """Return what a column of JSON says; None where it says nothing, or can't be understood."""
    with contextlib.suppress(BadInput):
        return cast("Mapping[str, object]", parse_json(text)) if text else None
    return None
