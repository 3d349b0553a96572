"""The jobs: adding, claiming, updating and listing them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from modelshelf.domain.jobs import A_PERSON, FAILED, PAUSED, QUEUED, RUNNING, UNFINISHED, WAITING, Cause, Job, JobKind
from modelshelf.domain.models import ModelRow
from modelshelf.errors import NotFound
from modelshelf.registry.database import db_now
from modelshelf.registry.job_steering import SteeredJobs, over, owned_by, requeued, with_parent
from modelshelf.registry.rows import JOB_COLUMNS, LEASE_S, has_params, new_job
from modelshelf.registry.tables import jobs, leases, models, reservations

if TYPE_CHECKING:
    from modelshelf.domain.job_params import JobParams

_CLAIMS = 7236109
"""The number of the advisory lock; any that nothing else takes."""
_READY_S = 5.0
"""How long a process stands ready for a job without saying so again, in seconds."""


class JobTable(SteeredJobs):
    """The registry's table of jobs."""

    def enqueue(
        self, kind: str, row: ModelRow, params: Mapping[str, object] | None = None, cause: Cause = A_PERSON
    ) -> Job:
        """Return the unfinished job of this kind on a model, or a new one that any process may claim.

        Args:
            kind: What to do.
            row: The model.
            params: The kind's parameters, as JSON values.
            cause: Why a new one is needed.
        """
        with self._engine.begin() as connection:
            connection.execute(sa.update(models).where(models.c.id == row.id).values(pinned=models.c.pinned))
            same = (jobs.c.model_id == row.id) & (jobs.c.kind == kind) & jobs.c.state.in_(UNFINISHED)
            found = connection.execute(sa.select(*JOB_COLUMNS).where(same)).first()
            tiers = (row.cache_location, (params or {}).get("cache_location"))
            values = new_job(kind, row.model_name, params, cause, tiers)
            if found is not None and (found.state, found.params) == (PAUSED, values["params"]):
                # who asks for it again wants it to go on
                found = connection.execute(requeued(jobs.c.id == found.id).returning(*JOB_COLUMNS)).one()
            if found is None:
                values |= {"model_id": row.id, "total_bytes": row.size_bytes} | with_parent(connection, cause)
                found = connection.execute(sa.insert(jobs).values(**values).returning(*JOB_COLUMNS)).one()
        return Job(*found)

    def add_job(self, kind: str, model_name: str, params: Mapping[str, object]) -> Job:
        """Add a job that outlives the model it is about.

        Args:
            kind: What to do.
            model_name: The model that it is about, for people.
            params: The kind's parameters, as JSON values.
        """
        with self._engine.begin() as connection:
            statement = (
                sa.insert(jobs)
                .values(**new_job(kind, model_name, params, tiers=[params.get("tier")]))
                .returning(*JOB_COLUMNS)
            )
            return Job(*connection.execute(statement).one())

    def begin_load(self, model_id: int, owner: str, cause: Cause) -> Job:
        """Add the job of a load, which runs from now on; it outlives the model.

        Args:
            model_id: The model.
            owner: The process that loads it.
            cause: Why.

        Raises:
            NotFound: The model isn't registered any more.
        """
        with self._engine.begin() as connection:
            which = sa.select(models.c.model_name, models.c.cache_location).where(models.c.id == model_id)
            if (row := connection.execute(which).first()) is None:
                raise NotFound(f"Model {model_id} isn't registered any more.", hint="shelf ls lists them.")
            values = new_job(JobKind.LOAD, row.model_name, None, cause, [row.cache_location])
            values |= {"state": RUNNING, "owner": owner, "attempts": 1}
            return Job(*connection.execute(sa.insert(jobs).values(**values).returning(*JOB_COLUMNS)).one())

    def end_lost_loads(self, owner: str | None = None) -> None:
        """Say that loads failed whose process is gone: that of an owner, or with None all that were silent for long.

        A load that goes on is heard of twice a second, whichever process it is in.
        """
        lost = _is_silent() if owner is None else jobs.c.owner == owner
        which = (jobs.c.kind == JobKind.LOAD) & (jobs.c.state == RUNNING) & lost
        with self._engine.connect() as connection:
            found = list(connection.scalars(sa.select(jobs.c.id).where(which)))
        if found:  # most times there is nothing to write
            self._change_job(jobs.c.id.in_(found) & which, over(FAILED, "The process that loaded it ended.", ""))

    def due(self) -> list[Job]:
        """Return the jobs that any process may claim now, in the order of the queue."""
        with self._engine.connect() as connection:
            return [Job(*row) for row in connection.execute(_DUE)]

    def claim(self, owner: str, job_id: int | None = None) -> Job | None:
        """Claim the next due job, or the one asked for; None if there is none to claim.

        Args:
            owner: Who claims it.
            job_id: The job.

        **Concurrency:** the condition is in the update itself, so of two claimants one gets the job.
        """
        if job_id is None:
            next_one = sa.select(jobs.c.id).where(_due()).order_by(*_IN_ORDER).limit(1).scalar_subquery()
            wanted = (jobs.c.id == next_one) & _due()
        else:
            wanted = (jobs.c.id == job_id) & _claimable()
        with self._engine.begin() as connection:
            found = connection.execute(_claimed(owner, wanted).returning(*JOB_COLUMNS)).first()
        return Job(*found) if found else None

    def claim_in_turn(
        self, owner: str, job_id: int, disk: str, why_not: Callable[[Sequence[Job], Sequence[Job]], str]
    ) -> Job | None:
        """Claim a job unless it has to wait for others; None if it has to, or can't be claimed.

        Args:
            owner: Who claims it.
            job_id: The job.
            disk: The slow disk that it writes to.
            why_not: Says, of the jobs that run and those that a process stands ready to run, why it has to wait.

        **Concurrency:** such claims go one after the other, so that no two count the same jobs.
        """
        wanted = (jobs.c.id == job_id) & _claimable()
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_CLAIMS})"))
            if why_not(*_contenders(connection)):
                return None
            found = connection.execute(_claimed(owner, wanted, disk).returning(*JOB_COLUMNS)).first()
        return Job(*found) if found else None

    def contenders(self) -> tuple[list[Job], list[Job]]:
        """Return the jobs that run, and those that a process stands ready to run."""
        with self._engine.connect() as connection:
            return _contenders(connection)

    def note_wait(self, job: Job, detail: str, disk: str | None = None) -> None:
        """Write what a job waits for, while no process runs it.

        Args:
            job: The job.
            detail: What it waits for, in a sentence.
            disk: The slow disk that it would write to, if this process runs it as soon as its turn comes; else None.
        """
        ready: dict[str, object] = {} if disk is None else {"disk": disk, "ready_at": db_now()}
        with self._engine.begin() as connection:
            same = (jobs.c.id == job.id) & jobs.c.state.in_((QUEUED, WAITING))
            connection.execute(sa.update(jobs).where(same).values(detail=detail, **ready))

    def give_up_owner(self, owner: str) -> None:
        """Put a dead owner's running jobs back into the queue, and delete its reservations."""
        self.end_lost_loads(owner)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(reservations).where(reservations.c.owner == owner))
            mine = (jobs.c.owner == owner) & (jobs.c.state == RUNNING)
            connection.execute(sa.update(jobs).where(mine).values(state=QUEUED, owner=""))
            connection.execute(sa.delete(leases).where(leases.c.owner == owner))

    def update_job(self, job_id: int, values: Mapping[str, object], *, owner: str | None = None) -> bool:
        """Change columns of a job and record that its owner lives; return whether there was such a job.

        Args:
            job_id: The job.
            values: The columns.
            owner: Whose job it has to be: one that was paused, cancelled or taken over is another's. None: anybody's.
        """
        return self._change_job(jobs.c.id == job_id if owner is None else owned_by(job_id, owner), values)

    def set_params(self, job: Job, params: JobParams) -> None:
        """Change what is left for a job to do, as long as it has the same owner."""
        self.update_job(job.id, {"params": json.dumps(params.to_json())}, owner=job.owner)

    def postpone_job(self, job_id: int, wait_s: float, detail: str, *, owner: str | None = None) -> None:
        """Make a job wait for what it lacks, if it is the owner's; None: anybody's."""
        values = {"state": WAITING, "due_at": db_now() + wait_s, "detail": detail, "owner": "", "rate_bytes_per_s": 0}
        self.update_job(job_id, values, owner=owner)

    def drop_old_jobs(self, days: int, most: int) -> int:
        """Delete finished jobs that ended so many days ago, the oldest first; return how many.

        Args:
            days: How long they are kept.
            most: How many are deleted at once: each deletion is told to those who listen.
        """
        old = sa.select(jobs.c.id).where(jobs.c.finished_at < db_now() - days * 86400.0)
        with self._engine.connect() as connection:
            found = list(connection.scalars(old.order_by(jobs.c.id).limit(most)))
        if found:  # most times there is nothing to write
            with self._engine.begin() as connection:
                connection.execute(sa.delete(jobs).where(jobs.c.id.in_(found)))
        return len(found)

    def jobs(
        self,
        *,
        kind: str | None = None,
        model_id: int | None = None,
        state: Collection[str] | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """Return jobs, newest first; one with invalid parameters is left out and logged.

        Args:
            kind: Only jobs of this kind.
            model_id: Only jobs on this model.
            state: Only jobs in one of these states, such as `UNFINISHED`.
            after: Only jobs older than this one, by its id.
            limit: At most so many.
        """
        query = sa.select(*JOB_COLUMNS).order_by(jobs.c.id.desc()).limit(limit)
        if after is not None:
            query = query.where(jobs.c.id < after)
        if kind is not None:
            query = query.where(jobs.c.kind == kind)
        if model_id is not None:
            query = query.where(jobs.c.model_id == model_id)
        if state is not None:
            query = query.where(jobs.c.state.in_(state))
        with self._engine.connect() as connection:
            return [job for row in connection.execute(query) if has_params(job := Job(*row))]

    def job_counts(self) -> dict[tuple[str, str], int]:
        """Return how many jobs there are of each kind in each state."""
        query = sa.select(jobs.c.kind, jobs.c.state, sa.func.count()).group_by(jobs.c.kind, jobs.c.state)
        with self._engine.connect() as connection:
            return {(str(kind), str(state)): int(count) for kind, state, count in connection.execute(query)}

    def job(self, job_id: int) -> Job:
        """Return one job.

        Raises:
            NotFound: There is no such job.
        """
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(*JOB_COLUMNS).where(jobs.c.id == job_id)).first()
        if row is None:
            raise NotFound(f"There is no job {job_id}.", hint="shelf jobs lists them.", job_id=job_id)
        return Job(*row)


def _claimed(owner: str, which: sa.ColumnElement[bool], disk: str = "") -> sa.Update:
    """Return the statement that claims a job; what it waited for, or did before a restart, is over."""
    change = {"state": RUNNING, "owner": owner, "heartbeat_at": db_now(), "attempts": jobs.c.attempts + 1}
    return sa.update(jobs).where(which).values(**change, phase="", detail="", files="", disk=disk)


def _contenders(connection: sa.Connection) -> tuple[list[Job], list[Job]]:
    """Return the jobs that run, and those that a process stands ready to run."""
    found = [Job(*row) for row in connection.execute(_CONTENDERS)]
    return [job for job in found if job.state == RUNNING], [job for job in found if job.state != RUNNING]


def _is_silent() -> sa.ColumnElement[bool]:
    return jobs.c.heartbeat_at < db_now() - LEASE_S


def _lost() -> sa.ColumnElement[bool]:
    return (jobs.c.state == RUNNING) & (jobs.c.kind != JobKind.LOAD) & _is_silent()


def _claimable() -> sa.ColumnElement[bool]:
    """Return the condition that a job can be claimed by its number: it may wait for its time."""
    return _due() | (jobs.c.state == WAITING)


def _due() -> sa.ColumnElement[bool]:
    """Return the condition that a job can be claimed: its wait is over, or its owner was silent for too long."""
    return (jobs.c.state == QUEUED) | ((jobs.c.state == WAITING) & (jobs.c.due_at <= db_now())) | _lost()


_IN_ORDER = (jobs.c.priority.desc(), jobs.c.id)
_DUE = sa.select(*JOB_COLUMNS).where(_due()).order_by(*_IN_ORDER)
"""Built once, because a server asks twice a second, and building a statement takes longer than running it."""
_CONTENDERS = sa.select(*JOB_COLUMNS).where(
    ((jobs.c.state == RUNNING) & ~_lost())
    | (jobs.c.state.in_((QUEUED, WAITING)) & (jobs.c.ready_at > db_now() - _READY_S))
)
