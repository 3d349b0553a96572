"""Long work as a row that any process can see."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from modelshelf.domain.outside import object_of, parse_json

QUEUED, RUNNING, WAITING, PAUSED = "queued", "running", "waiting", "paused"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
GOING_ON = (QUEUED, RUNNING, WAITING)
UNFINISHED = (*GOING_ON, PAUSED)

JobState = Literal["queued", "running", "waiting", "paused", "done", "failed", "cancelled"]
"""For what a request may ask for."""

DOWNLOADING, REPAIRING = "downloading", "repairing"
"""Phases with a download from the hub."""

BACKOFF_FIRST_S = 2.0
BACKOFF_LONGEST_S = 300.0
_LONGEST_ETA_S = 100 * 86400.0
"""A remaining time above this isn't told: the rate is that of a first moment, or there is none."""
_MANY_SMALL = "carrying"
"""The phase in which what isn't a model moves along: its bytes tell nothing of the time that its many files take."""


class JobKind(enum.StrEnum):
    """What a job does; `domain.job_params` has the parameters of each kind."""

    PULL = "pull"
    MOVE = "move"
    DELETE_OLD_COPY = "delete_old_copy"
    UPDATE = "update"
    VERIFY = "verify"
    GC = "gc"
    DEDUPE = "dedupe"
    RECONCILE = "reconcile"
    ADOPT = "adopt"
    VIEW_SYNC = "view_sync"
    MIRROR = "mirror"
    """Fetches what clients of `/hf` ask for."""
    EVICT = "evict"
    """Nobody runs it: it records that a model's files were deleted to make room."""
    LOAD = "load"
    """The process that loads a model into memory keeps it, and no other one takes it up."""


ENDS_WITH_ITS_COMMAND = frozenset({JobKind.VERIFY, JobKind.GC, JobKind.DEDUPE, JobKind.RECONCILE, JobKind.VIEW_SYNC})
"""What Ctrl-C ends for good: nothing that took long would be lost. Other jobs wait for somebody to go on with them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One long operation."""

    id: int
    kind: str
    """A `JobKind`; another program's row may have an unknown word."""
    model_id: int | None
    model_name: str
    params: str
    """The parameters, as a JSON object; read by `domain.job_params.params_of`."""
    state: str
    """queued, running, waiting (until `due_at`), paused, done, failed or cancelled."""
    phase: str
    done_bytes: int
    total_bytes: int
    rate_bytes_per_s: int
    detail: str
    """What it waits for or failed with, in a sentence."""
    error: str
    """The failure as a problem document (JSON); empty without one."""
    result: str
    """Its report, if its kind has one (JSON); empty otherwise. Written as it goes."""
    attempts: int
    due_at: float
    owner: str
    heartbeat_at: float
    created_at: float
    finished_at: float | None
    parent_id: int | None
    """The job that caused it; None if a person did, or that job was deleted with its model."""
    reason: str
    """Why another job, or a policy, caused it, in a sentence; empty if a person asked for it."""
    priority: int = 0
    """Its place in the queue: higher ones come first, and of equals the oldest."""
    disk: str = ""
    """The slow disk that it writes to or waits for; empty for any other."""
    tiers: str = ""
    """The tiers that it works on, with commas: of a move from where and to where; empty for all, or if unknown."""
    files: str = ""
    """How far its files are; read by `domain.job_files.files_of`."""

    def __repr__(self) -> str:
        """Return number, kind, model and state in one line."""
        what = f"{self.kind} {self.model_name}".rstrip()
        return f"<Job {self.id}: {what}, {self.state}>"

    @property
    def eta_s(self) -> float | None:
        """Seconds until it is done at the present rate; None if that isn't known, or is months."""
        if self.state != RUNNING or self.rate_bytes_per_s <= 0 or self.phase == _MANY_SMALL:
            return None
        left_s = (self.total_bytes - self.done_bytes) / self.rate_bytes_per_s
        return left_s if left_s < _LONGEST_ETA_S else None


def can_be_cancelled(job: Job) -> bool:
    """Return whether a person may end a job: who ended the deletion of an old copy would have two, told by nothing."""
    return job.kind != JobKind.DELETE_OLD_COPY


def can_be_paused(job: Job) -> bool:
    """Return whether a person may pause a job: a paused load would keep its memory without answering."""
    return job.kind != JobKind.LOAD


def result_of(job: Job) -> dict[str, object]:
    """Return a job's result; empty without one.

    Raises:
        BadInput: It can't be read.
    """
    return object_of(parse_json(job.result)) if job.result else {}


def backoff_s(attempts: int, retry_after_s: float | None = None) -> float:
    """Return how long to wait after this many failed attempts: doubling from 2 s to 5 min, or what the hub asked for.

    >>> [backoff_s(n) for n in (1, 2, 3, 20)], backoff_s(1, 30)
    ([2.0, 4.0, 8.0, 300.0], 30.0)
    """
    if retry_after_s is not None:
        return max(0.0, min(float(retry_after_s), BACKOFF_LONGEST_S))
    return float(min(BACKOFF_FIRST_S * 2 ** max(0, min(attempts, 30) - 1), BACKOFF_LONGEST_S))


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a job exists that no person asked for."""

    reason: str = ""
    parent_id: int | None = None

    def __str__(self) -> str:
        """Return it as a text for people; empty if a person asked.

        >>> str(Cause("Makes room for the pull of big.", 7)), str(Cause("Makes room.")), str(A_PERSON)
        ('Makes room for the pull of big (job 7).', 'Makes room.', '')
        """
        return self.reason if self.parent_id is None else f"{self.reason.removesuffix('.')} (job {self.parent_id})."


A_PERSON = Cause()
A_REQUEST = Cause("A request asks for it.")
"""Why a server loads a model by itself: a client sent a request for an answer."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A finished move of a model, or the deletion of its files to make room."""

    job_id: int
    at: float
    """When it ended, in seconds since 1970."""
    cache_location: str
    """The tier that it went to; empty if its files were deleted."""
    cause: Cause


@dataclass(frozen=True, slots=True)
class ReservedRow:
    """Bytes reserved for work that hasn't written them yet."""

    id: int
    tier_id: str
    device: str
    """The file system, as `store.tiers.marker.device` names it."""
    remaining_bytes: int
    owner: str
    expired: bool
    """Whether its owner didn't renew it in time, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    owner: str
    url: str
    started_at: float
