"""Steering jobs in the registry: each change is one transaction with its condition in it."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from modelshelf.domain.jobs import CANCELLED, DONE, GOING_ON, PAUSED, QUEUED, UNFINISHED, Cause, Job, JobKind
from modelshelf.registry.database import db_now, keep_reserve
from modelshelf.registry.tables import jobs

_PAUSED = {"state": PAUSED, "detail": "Paused."}


class SteeredJobs:
    """The part of the table of jobs that people steer.

    What a job caused, such as an eviction that makes room for a pull, is paused, resumed and cancelled with it; the
    deletion of an old copy alone goes on, because it frees space.
    """

    _engine: sa.Engine

    def pause_job(self, job_id: int) -> bool:
        """Make a job and its parts wait until a person resumes it; return whether it hadn't ended and wasn't paused."""
        values = _PAUSED | {"owner": "", "rate_bytes_per_s": 0, "due_at": 0.0, "heartbeat_at": db_now()}
        with self._engine.begin() as connection:
            going = (jobs.c.id == job_id) & jobs.c.state.in_(GOING_ON)
            was_going = bool(connection.execute(sa.update(jobs).where(going).values(values)).rowcount)
            if was_going:
                connection.execute(sa.update(jobs).where(_parts(job_id, GOING_ON)).values(values))
        return was_going

    def requeue_job(self, job: Job) -> bool:
        """Put a job and its paused parts back into the queue, as if new; return whether it was still as in `job`."""
        with self._engine.begin() as connection:
            same = (jobs.c.id == job.id) & (jobs.c.state == job.state)
            was_same = bool(connection.execute(requeued(same)).rowcount)
            if was_same:
                connection.execute(requeued(_parts(job.id, (PAUSED,))))
        return was_same

    def reorder_job(self, job_id: int, *, first: bool) -> bool:
        """Put a job before or behind all others in the queue; return whether it hadn't ended."""
        other = jobs.alias()
        end = sa.func.max(other.c.priority) if first else sa.func.min(other.c.priority)
        others = other.c.state.in_(UNFINISHED) & (other.c.id != job_id)
        now = sa.select(sa.func.coalesce(end, 0)).where(others).scalar_subquery()
        open_one = (jobs.c.id == job_id) & jobs.c.state.in_(UNFINISHED)
        with self._engine.begin() as connection:
            change = sa.update(jobs).where(open_one).values(priority=now + 1 if first else now - 1)
            return bool(connection.execute(change).rowcount)

    def cancel_job(self, job_id: int) -> bool:
        """Cancel a job and its parts; return whether it hadn't ended."""
        was_open = self.finish_job(job_id, CANCELLED, detail="Cancelled.")
        if was_open:
            self._change_job(_parts(job_id, UNFINISHED), over(CANCELLED, "Cancelled.", ""))
        return was_open

    def finish_job(
        self,
        job_id: int,
        state: str,
        *,
        detail: str = "",
        error: str = "",
        total_bytes: int = 0,
        files: str = "",
        owner: str | None = None,
    ) -> bool:
        """End a job, successfully or not; return whether it hadn't ended, and was the owner's.

        One that was paused in the instant in which it was done is done.

        Args:
            job_id: The job.
            state: Its last state.
            detail: Why, in a sentence.
            error: The error as a problem document.
            total_bytes: The bytes that a successful job handled, if its row has fewer.
            files: How many files it brought.
            owner: Whose job it has to be; None: anybody's.
        """
        values = over(state, detail, error)
        mine = owned_by(job_id, owner) if owner is not None else (jobs.c.id == job_id) & jobs.c.state.in_(UNFINISHED)
        if state == DONE:
            known = jobs.c.total_bytes
            total = sa.case((known < total_bytes, total_bytes), else_=known)
            values |= {"phase": "", "total_bytes": total, "done_bytes": total, "files": files}
            mine = mine | ((jobs.c.id == job_id) & (jobs.c.owner == "") & jobs.c.state.in_((PAUSED, QUEUED)))
        was_open = self._change_job(mine, values)
        keep_reserve(self._engine)
        return was_open

    def _change_job(self, which: sa.ColumnElement[bool], values: Mapping[str, object]) -> bool:
        with self._engine.begin() as connection:
            return bool(
                connection.execute(sa.update(jobs).where(which).values(**values, heartbeat_at=db_now())).rowcount
            )


def with_parent(connection: sa.Connection, cause: Cause) -> dict[str, object]:
    """Return the columns of a new job that was caused by one that is paused; none if it goes on.

    Args:
        connection: One in a transaction, in which the other job is held as it is.
        cause: Why the new one exists.
    """
    if cause.parent_id is None:
        return {}
    held = sa.update(jobs).where(jobs.c.id == cause.parent_id).values(owner=jobs.c.owner).returning(jobs.c.state)
    return dict(_PAUSED) if connection.scalar(held) == PAUSED else {}


def owned_by(job_id: int, owner: str) -> sa.ColumnElement[bool]:
    """Return the condition that a job is an owner's."""
    return (jobs.c.id == job_id) & (jobs.c.owner == owner)


def requeued(which: sa.ColumnElement[bool]) -> sa.Update:
    """Return the statement that queues jobs again."""
    fresh = {"state": QUEUED, "owner": "", "detail": "", "error": "", "attempts": 0, "due_at": 0.0, "finished_at": None}
    return sa.update(jobs).where(which).values(**fresh, rate_bytes_per_s=0, heartbeat_at=db_now())


def _parts(job_id: int, states: tuple[str, ...]) -> sa.ColumnElement[bool]:
    """Return the condition that a job is a part of another one, in one of these states."""
    return (jobs.c.parent_id == job_id) & jobs.c.state.in_(states) & (jobs.c.kind != JobKind.DELETE_OLD_COPY)


def over(state: str, detail: str, error: str) -> dict[str, object]:
    """Return the columns of a job that ends."""
    ended: dict[str, object] = {"owner": "", "rate_bytes_per_s": 0, "finished_at": db_now()}
    return ended | {"state": state, "detail": detail, "error": error}
