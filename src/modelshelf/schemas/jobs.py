"""Jobs as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from modelshelf.domain.job_files import files_of
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
    """A job: long work that every process can see."""

    id: int
    """Its number; newer jobs have higher ones."""
    kind: JobKind
    """What it does."""
    model_name: str
    """Its model; empty for work on a whole tier."""
    tiers: Sequence[str]
    """The tiers that it works on: of a move from where and to where; empty for all of them, or if unknown."""
    state: str
    """`queued`, `running`, `waiting`, `paused`, `done`, `failed` or `cancelled`."""
    phase: str
    """What it does now, in a word; empty before it began."""
    done_bytes: int
    """Bytes done."""
    total_bytes: int
    """Bytes in total; 0 while unknown."""
    files_done: int
    """How many of its files are whole."""
    files_total: int
    """How many files it brings; 0 where they aren't told apart."""
    rate_bytes_per_s: int
    """Its rate over the last ten seconds; 0 if nothing arrives, and unless it runs."""
    eta_s: float | None
    """Seconds until it is done at this rate; null if unknown."""
    detail: str
    """What it waits for or failed with, in a sentence."""
    error: Mapping[str, object] | None
    """Its error, as a problem document; null without one."""
    result: VerifyReportJson | TidyReportJson | ReconciledJson | AdoptedJson | Mapping[str, object] | None
    """Its report, kept as it goes; null for kinds without one, such as `pull`."""
    parent_id: int | None
    """The job that caused it; null if a person did, or that job was deleted with its model."""
    reason: str
    """Why another job, or a policy, caused it, in a sentence; empty if a person asked for it."""
    priority: int
    """Its place in the queue: higher ones begin first, and of equals the oldest; 0 unless a person changed it."""
    attempts: int
    """How often it was tried."""
    due_at: str | None
    """When it is tried again; null unless it waits."""
    created_at: str
    """When it was queued."""
    finished_at: str | None
    """When it ended; null until then."""

    @classmethod
    def of(cls, job: Job, **more: object) -> Self:
        """Return the object for a job.

        Args:
            job: The job.
            more: Further fields of a subclass.
        """
        files = files_of(job.files)
        return cls.like(
            job,
            tiers=list(filter(None, job.tiers.split(","))),
            files_done=files.done,
            files_total=files.total,
            error=_object(job.error),
            result=_object(job.result),
            due_at=time_or_none(job.due_at) if job.state == "waiting" else None,
            created_at=rfc3339(job.created_at),
            finished_at=time_or_none(job.finished_at),
            **more,
        )


@dataclass(frozen=True)
class JobFileJson(JsonObject):
    """A file of a job."""

    path: str
    """Its path in the repository."""
    done_bytes: int
    """Bytes done."""
    total_bytes: int
    """Bytes in total."""


@dataclass(frozen=True)
class JobDetailJson(JobJson):
    """A job with its files."""

    files: Sequence[JobFileJson]
    """How far its files are, while it runs: all of up to 50, else those that it works on now."""
    owner: str
    """The process that runs it; empty if none does."""
    heartbeat_at: str
    """When the process that runs it last said so, or when it was last changed."""

    @classmethod
    def of(cls, job: Job, **more: object) -> Self:
        """Return the object for a job; see `JobJson.of`."""
        listed = [JobFileJson.like(file) for file in files_of(job.files).listed]
        return super().of(job, files=listed, heartbeat_at=rfc3339(job.heartbeat_at), **more)


@dataclass(frozen=True)
class MoveJobJson(JobJson):
    """The job of a move that was just queued, and the models that are evicted for it."""

    makes_room: Sequence[EvictedJson]
    """The models that are evicted from the target, coldest first."""


def _object(text: str) -> Mapping[str, object] | None:
    """Return the object in a column of JSON; None if it is empty or invalid."""
    with contextlib.suppress(BadInput):
        return cast("Mapping[str, object]", parse_json(text)) if text else None
    return None
