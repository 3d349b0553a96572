"""The job engine: whoever claims a job carries it out, tells the registry how far it is, and leaves it in a true state.

The runner is composed before the services that carry jobs out, and given their handlers afterwards, so that a service
that needs a job carried out holds the runner itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from modelshelf.domain.job_params import JobParams, params_of
from modelshelf.domain.jobs import CANCELLED, DONE, FAILED, QUEUED, RUNNING, UNFINISHED, Job, JobKind, backoff_s
from modelshelf.domain.outside import object_of, parse_json
from modelshelf.domain.ports import Clock
from modelshelf.errors import BadInput, Cancelled, Conflict, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.background import BackgroundJobs
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.jobs.running import Running, ticking
from modelshelf.store.os_errors import of_os_error

_log = logging.getLogger(__name__)
_LOOK_AGAIN_S = 0.1
_POLL_S = 0.5

Handler = Callable[[Running], None]


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Carries out jobs of this process and shows those of all."""

    registry: Registry
    owner: str
    clock: Clock
    why_not: Callable[[Job], str] = lambda job: ""
    """Says why this process cannot carry out a job, of whose bases it may have none; see `space.reach`."""
    handlers: dict[str, Handler] = field(default_factory=dict)
    """Who carries out which kind of job."""
    background: BackgroundJobs = field(default_factory=BackgroundJobs)

    def handle(self, handlers: Mapping[str, Handler]) -> None:
        """Take in who carries out which kind of job."""
        self.handlers.update(handlers)

    # --- taking ---

    def enqueue_once(self, params: JobParams, model_name: str = "") -> Job:
        """Return a job; one that was asked for in the same words and never ended is taken up again.

        Args:
            params: What is to be done.
            model_name: What it is about, for people.

        **Concurrency:** two that ask at the same instant may get a job each, which costs a second run.
        """
        for job in self.registry.jobs(kind=params.kind, state=UNFINISHED):
            with contextlib.suppress(BadInput):
                if params_of(job, type(params)) == params:
                    return job
        return self.registry.add_job(params.kind, model_name, params.to_json())

    def claim(self, job: Job) -> Job | None:
        """Take a job for this process; None where another one is at it, it has ended, or it is not for this one.

        What processes that died hold goes back first: the job may be one of theirs.
        """
        recover_dead_owners(self.registry)
        return None if self.why_not(job) else self.registry.claim(self.owner, job.id)

    def claim_next(self) -> Job | None:
        """Take the oldest job that is due and for this process; the others wait, and say for what."""
        for job in self.registry.due():
            reason = self.why_not(job)
            if not reason:
                if (mine := self.registry.claim(self.owner, job.id)) is not None:
                    return mine
            elif job.detail != reason:
                self.registry.note_wait(job, reason)
        return None

    # --- carrying out ---

    def run(self, running: Running) -> None:
        """Carry out a job that this process has claimed.

        Raises:
            ShelfError: It failed, or waits for something; the registry says so too.
            Cancelled: It was stopped; it is back in the queue.
        """
        job = running.job
        try:
            with ticking(self.registry, self.clock, running):
                self._handler(job)(running)
        except Unavailable as err:
            self.registry.postpone_job(job.id, backoff_s(job.attempts, err.retry_after_s), err.detail)
            raise
        except (Cancelled, KeyboardInterrupt):
            self._leave(job)
            raise
        except ShelfError as err:
            self._fail(job, err.detail, err.to_dict())
            raise
        except OSError as err:  # of a disk, behind a library that does not know our errors
            known = of_os_error(err)
            _log.warning("job_stopped_by_the_disk", extra={"job_id": job.id}, exc_info=err)
            self._fail(job, known.detail, known.to_dict())
            raise known from err
        except Exception as err:
            _log.exception("job_broke", extra={"job_id": job.id})
            self._fail(job, f"{type(err).__name__}: {err}", {"type": "urn:modelshelf:error:internal", "status": 500})
            raise
        self.registry.finish_job(job.id, DONE)

    def finish(self, job: Job, on_tick: Callable[[Job], None] | None = None) -> Job:
        """Carry out a job here, or wait for the process that is at it; returns it finished.

        Args:
            job: The job.
            on_tick: Called about twice a second with the job as it is.

        Raises:
            ShelfError: What it failed with, or waits for.
            Cancelled: Somebody ended it.
        """
        self.run_due(JobKind.DELETE_OLD_COPY)  # what a killed process left comes first
        while True:
            self._check_reach(self.registry.job(job.id))
            mine = self.claim(job)
            if mine is not None:
                self.run(Running(mine, on_tick))
                return self.registry.job(job.id)
            job = self.registry.job(job.id)
            if job.finished_at is not None:
                return _outcome(job)
            if on_tick is not None:
                on_tick(job)
            self.clock.sleep(_POLL_S)

    def run_inside(self, job: Job, outer: Running) -> None:
        """Carry out a job as a part of another one, whose progress it shows and with which it stops.

        Raises:
            ShelfError: What it failed with, or waits for; another process may be at it.
            Cancelled: The outer one was stopped; both are back in the queue.
        """
        mine = self.claim(job)
        if mine is None:
            raise Conflict(f"Another process runs job {job.id}.", hint="Wait for it.", job_id=job.id)
        inner = Running(mine)
        inner.progress = outer.progress
        self.run(inner)

    def start_in_background(self, job: Job) -> None:
        """Carry out a job in a thread of its own; when the library is closed, it goes back into the queue."""
        mine = self.claim(job)
        if mine is not None:
            self.background.start(self.run, Running(mine))

    def run_due(self, kind: JobKind) -> None:
        """Carry out the jobs of one kind that are due; what they wait for is left to the next time."""
        for job in self.registry.jobs(kind=kind, state=UNFINISHED):
            mine = self.claim(job)
            if mine is not None:
                with contextlib.suppress(ShelfError):
                    self.run(Running(mine))

    def settle(self, kind: JobKind) -> None:
        """Carry out the jobs of one kind that are due; returns when nobody else is at one either."""
        self.run_due(kind)
        while self.registry.jobs(kind=kind, state=(RUNNING,)):
            self.clock.sleep(_LOOK_AGAIN_S)
            self.run_due(kind)

    # --- looking and ending ---

    def all(self, kind: str | None = None, state: Collection[str] | None = None) -> list[Job]:
        """Return jobs, newest first; of one that no process runs, the detail says what it waits for.

        Args:
            kind: Of this kind alone.
            state: In one of these states alone.
        """
        return [self._with_wait(job) for job in self.registry.jobs(kind=kind, state=state)]

    def cancel(self, job_id: int) -> Job:
        """End a job; whoever runs it stops within a second. What arrived stays for the next try."""
        job = self.registry.job(job_id)
        if job.finished_at is None:
            self.registry.finish_job(job_id, CANCELLED, detail="Cancelled.")
        return self.registry.job(job_id)

    def _with_wait(self, job: Job) -> Job:
        if job.state != QUEUED or job.detail:
            return job
        return replace(job, detail=self.why_not(job) or "Waits for a running server, or for the same command again.")

    def _check_reach(self, job: Job) -> None:
        """Do nothing where this process can carry out a job, or another one is at it; else the job waits.

        Raises:
            Unavailable: It works on a base that is not here.
        """
        reason = "" if job.state == RUNNING or job.finished_at is not None else self.why_not(job)
        if reason:
            self.registry.postpone_job(job.id, backoff_s(job.attempts), reason)
            raise Unavailable(reason, hint="It waits for a process that has that base among its tiers.", job_id=job.id)

    def _handler(self, job: Job) -> Handler:
        if job.kind not in self.handlers:
            raise BadInput(f"Job {job.id} is a {job.kind!r:.40}, which this version does not know.", job_id=job.id)
        return self.handlers[job.kind]

    def _leave(self, job: Job) -> None:
        if self.registry.job(job.id).finished_at is None:
            self.registry.update_job(job.id, {"state": QUEUED, "owner": "", "rate_bytes_per_s": 0, "detail": ""})

    def _fail(self, job: Job, detail: str, problem: dict[str, object]) -> None:
        self.registry.finish_job(job.id, FAILED, detail=detail, error=json.dumps(problem))


def _outcome(job: Job) -> Job:
    """Return a job that another process finished well; raise what it failed with."""
    if job.state == DONE:
        return job
    if job.state == CANCELLED:
        raise Cancelled
    raise ShelfError.from_dict({"detail": job.detail} | (object_of(parse_json(job.error)) if job.error else {}))
