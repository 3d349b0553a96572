"""The job engine: runs claimed jobs, tells the registry their progress, and leaves each in a true state.

A handler makes its service when its first job runs: a service that needs a job to be run can hold the runner itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from modelshelf.domain.job_files import JobFiles
from modelshelf.domain.job_params import JobParams, params_of
from modelshelf.domain.jobs import (
    CANCELLED,
    DONE,
    ENDS_WITH_ITS_COMMAND,
    FAILED,
    PAUSED,
    QUEUED,
    RUNNING,
    UNFINISHED,
    WAITING,
    Job,
    JobKind,
    backoff_s,
)
from modelshelf.domain.outside import object_of, parse_json
from modelshelf.domain.ports import Clock
from modelshelf.errors import BadInput, Cancelled, Conflict, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.background import BackgroundJobs
from modelshelf.services.jobs.recovery import as_it_is, recover_dead_owners
from modelshelf.services.jobs.running import Running, ticking
from modelshelf.services.jobs.turns import Turns
from modelshelf.store.os_errors import of_os_error

_log = logging.getLogger(__name__)
_LOOK_AGAIN_S = 0.1
_POLL_S = 0.5
_DROPPED_AT_ONCE = 100

Handler = Callable[[Running], None]


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Runs jobs in this process and shows those of all processes."""

    registry: Registry
    turns: Turns
    clock: Clock
    handlers: dict[str, Handler]
    """The function that runs each kind of job."""
    why_not: Callable[[Job], str]
    """Returns why this process can't run a job, such as for lack of a base; see `space.reach`."""
    background: BackgroundJobs = field(default_factory=BackgroundJobs)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when this process is about to end: nobody waits for another job any more."""

    @property
    def owner(self) -> str:
        """The process that the jobs are claimed for."""
        return self.turns.owner

    # --- taking ---

    def enqueue_once(self, params: JobParams, model_name: str = "") -> Job:
        """Return a new job, or the unfinished one with the same parameters.

        Args:
            params: What to do.
            model_name: The model that it is about, for people.

        **Concurrency:** two callers at the same instant may get a job each, which costs a second run.
        """
        for job in self.registry.jobs(kind=params.kind, state=UNFINISHED):
            with contextlib.suppress(BadInput):
                if params_of(job, type(params)) == params:
                    if job.state == PAUSED:  # who asks for it again wants it to go on
                        self.registry.requeue_job(job)
                    return self.registry.job(job.id)
        return self.registry.add_job(params.kind, model_name, params.to_json())

    def claim(self, job: Job, part_of: int | None = None) -> Job | None:
        """Claim a job for this process; None if another one runs it, it waits or has ended, or this one can't run it.

        What dead processes hold is released first: the job may be one of theirs.

        Args:
            job: The job.
            part_of: The running job that needs it.
        """
        recover_dead_owners(self.registry)
        return None if self.why_not(job) else self.turns.claim(job, part_of=part_of)

    def claim_next(self) -> Job | None:
        """Claim the first due job of the queue that this process can run; the others wait, and say for what."""
        for job in self.registry.due():
            reason = self.why_not(job)
            if not reason:
                if (mine := self.turns.claim(job)) is not None:
                    return mine
            elif job.detail != reason:
                self.registry.note_wait(job, reason)
        return None

    # --- carrying out ---

    def run(self, running: Running) -> None:
        """Run a job that this process has claimed.

        Raises:
            ShelfError: It failed or waits for something, which the registry says too.
            Cancelled: It was stopped, and is queued again.
        """
        try:
            self._run(running)
        finally:
            self.turns.leave(running.job)

    def _run(self, running: Running) -> None:
        job = running.job
        try:
            with ticking(self.registry, self.clock, running):
                self._handler(job)(running)
        except Unavailable as err:
            wait_s = backoff_s(job.attempts, err.retry_after_s)
            self.registry.postpone_job(job.id, wait_s, err.detail, owner=job.owner)
            raise
        except (Cancelled, KeyboardInterrupt):
            self._leave(job)
            raise
        except ShelfError as err:
            self._fail(job, err.detail, err.to_dict())
            raise
        except OSError as err:  # of a disk, from a library that doesn't raise our errors
            known = of_os_error(err)
            _log.warning("job_stopped_by_the_disk", extra={"job_id": job.id}, exc_info=err)
            self._fail(job, known.detail, known.to_dict())
            raise known from err
        except Exception as err:
            _log.exception("job_broke", extra={"job_id": job.id})
            self._fail(job, f"{type(err).__name__}: {err}", {"type": "urn:modelshelf:error:internal", "status": 500})
            raise
        reading = running.progress.read()
        files = JobFiles(reading.files.total, reading.files.total).to_json()
        self.registry.finish_job(job.id, DONE, total_bytes=reading.total_bytes, files=files, owner=job.owner)
        self.drop_old()

    def finish(self, job: Job, on_tick: Callable[[Job], None] | None = None, *, part_of: int | None = None) -> Job:
        """Run a job here when its turn comes, or wait for the process that runs it; return it finished.

        Args:
            job: The job.
            on_tick: Called about twice a second with the job.
            part_of: The running job that needs it.

        Raises:
            ShelfError: What it failed with, or waits for.
            Conflict: Somebody paused it.
            Cancelled: Somebody ended it, or this process is about to end.
            KeyboardInterrupt: The person pressed Ctrl-C; it is cancelled if it is of `ENDS_WITH_ITS_COMMAND`.
        """
        self.run_due(JobKind.DELETE_OLD_COPY)  # what a killed process left comes first
        try:
            return self._finish(job, on_tick, part_of)
        except KeyboardInterrupt:
            if job.kind in ENDS_WITH_ITS_COMMAND:
                self.registry.cancel_job(job.id)
            raise

    def _finish(self, job: Job, on_tick: Callable[[Job], None] | None, part_of: int | None) -> Job:
        while True:
            self._check_reach(self.registry.job(job.id))
            mine = self.claim(job, part_of)
            if mine is not None:
                self._run_unless_paused(Running(mine, on_tick))
                return self.registry.job(job.id)
            job = self.registry.job(job.id)
            _check_not_paused(job)
            if job.finished_at is not None:
                return _outcome(job)
            if on_tick is not None:
                on_tick(job)
            if self.stopping.is_set():
                raise Cancelled
            self.clock.sleep(_POLL_S)

    def _run_unless_paused(self, running: Running) -> None:
        try:
            self.run(running)
        except (Cancelled, Conflict):  # a job may be stopped itself, or find that a part of it is paused
            _check_not_paused(self.registry.job(running.job.id))
            raise

    def run_inside(self, job: Job, outer: Running) -> None:
        """Run a job as a part of another one, which shows its progress and stops it; return once it is done.

        Where another thread or process was quicker to claim it, such as a server's worker, that one is waited for.

        Raises:
            ShelfError: What it failed with or waits for.
            Conflict: Somebody paused it.
            Cancelled: The outer one was stopped; both are queued again.
        """
        self._check_reach(job)
        recover_dead_owners(self.registry)
        while (mine := self.turns.claim(job, waits=False)) is None:
            job = self.registry.job(job.id)
            _check_not_paused(job)
            if job.finished_at is not None:
                _outcome(job)
                return
            outer.progress.check()
            self.clock.sleep(_POLL_S)
        inner = Running(mine)
        inner.progress = outer.progress
        self.run(inner)

    def start_in_background(self, job: Job) -> None:
        """Run a job in its own thread; closing the library queues it again."""
        mine = self.claim(job)
        if mine is not None:
            self.background.start(self.run, Running(mine))

    def run_due(self, kind: JobKind) -> None:
        """Run the due jobs of one kind; those that wait for something are left for later."""
        for job in self.registry.jobs(kind=kind, state=UNFINISHED):
            mine = self.claim(job)
            if mine is not None:
                with contextlib.suppress(ShelfError):
                    self.run(Running(mine))

    def run_waiting(self, kind: JobKind) -> None:
        """Run the jobs of one kind at once that wait for a while: what they wait for may be over."""
        for job in self.registry.jobs(kind=kind, state=(WAITING,)):
            self.registry.requeue_job(job)
        self.run_due(kind)

    def settle(self, kind: JobKind) -> None:
        """Run the due jobs of one kind; returns once no other process runs one either."""
        self.run_due(kind)
        while self.registry.jobs(kind=kind, state=(RUNNING,)):
            self.clock.sleep(_LOOK_AGAIN_S)
            self.run_due(kind)

    # --- looking and ending ---

    def all(
        self,
        kind: str | None = None,
        state: Collection[str] | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """Return jobs, newest first; if no process runs one, its detail says what it waits for.

        Args:
            kind: Only jobs of this kind.
            state: Only jobs in one of these states.
            after: Only jobs older than this one, by its id.
            limit: At most so many.
        """
        found = self.registry.jobs(kind=kind, state=state, after=after, limit=limit)
        return [self.with_wait(job) for job in found]

    def drop_old(self) -> bool:
        """Delete some of the finished jobs that were kept long enough; return whether there may be more."""
        return self.registry.drop_old_jobs(self.turns.rules.days, _DROPPED_AT_ONCE) == _DROPPED_AT_ONCE

    def with_wait(self, job: Job) -> Job:
        """Return a job as it is; if no process runs it, its detail says what it waits for."""
        job = as_it_is(job)
        if job.state != QUEUED or job.detail:
            return job
        return replace(job, detail=self.why_not(job) or "Waits for a running server, or for the same command again.")

    def _check_reach(self, job: Job) -> None:
        """Raise unless this process can run a job or another one runs it; the job then waits.

        Raises:
            Unavailable: It needs a base that this process doesn't have.
        """
        is_over = job.finished_at is not None
        reason = "" if job.state in (RUNNING, PAUSED) or is_over else self.why_not(job)
        if reason:
            self.registry.postpone_job(job.id, backoff_s(job.attempts), reason)
            raise Unavailable(reason, hint="It waits for a process that has that base among its tiers.", job_id=job.id)

    def _handler(self, job: Job) -> Handler:
        if job.kind not in self.handlers:
            raise BadInput(f"Job {job.id} is a {job.kind!r:.40}, which this version does not know.", job_id=job.id)
        return self.handlers[job.kind]

    def _leave(self, job: Job) -> None:
        values = {"state": QUEUED, "owner": "", "rate_bytes_per_s": 0, "detail": ""}
        self.registry.update_job(job.id, values, owner=job.owner)

    def _fail(self, job: Job, detail: str, problem: dict[str, object]) -> None:
        self.registry.finish_job(job.id, FAILED, detail=detail, error=json.dumps(problem), owner=job.owner)


def _check_not_paused(job: Job) -> None:
    if job.state == PAUSED:
        raise Conflict(f"Job {job.id} is paused.", hint=f"shelf jobs resume {job.id}", job_id=job.id)


def _outcome(job: Job) -> Job:
    """Return a job that another process finished well; raise what it failed with."""
    if job.state == DONE:
        return job
    if job.state == CANCELLED:
        raise Cancelled
    raise ShelfError.from_dict({"detail": job.detail} | (object_of(parse_json(job.error)) if job.error else {}))
