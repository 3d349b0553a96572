"""What a person does to a job, whichever process runs it: pause, resume, cancel, retry, and its place in the queue.

**Concurrency:** each is one statement with its condition in it. The process that runs the job sees within a second that
the job is no longer its own, and stops; whatever it still writes changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.jobs import (
    CANCELLED,
    DONE,
    FAILED,
    PAUSED,
    UNFINISHED,
    WAITING,
    Job,
    JobKind,
    can_be_cancelled,
    can_be_paused,
)
from modelshelf.errors import Conflict, NotFound
from modelshelf.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Steering:
    """Steers jobs. Every method returns the job as it is now, and raises NotFound if there is no such job."""

    registry: Registry

    def pause(self, job_id: int) -> Job:
        """Pause a job until it is resumed, through restarts too; what arrived stays. Its evictions pause with it.

        Raises:
            Conflict: It has ended, is a part of another job, or is a load.
        """
        self._check_whole(job_id, "pause")
        if not can_be_paused(self.registry.job(job_id)):
            hint = f"shelf jobs cancel {job_id} ends it."
            raise Conflict(f"Job {job_id} is a load, which can't be paused.", hint=hint, job_id=job_id)
        if not self.registry.pause_job(job_id) and (job := self.registry.job(job_id)).state != PAUSED:
            raise Conflict(
                f"Job {job_id} is {job.state}.", hint="Only a job that hasn't ended can be paused.", job_id=job_id
            )
        return self.registry.job(job_id)

    def resume(self, job_id: int) -> Job:
        """Let a paused job go on; of another one that hasn't ended nothing changes.

        Raises:
            Conflict: It has ended.
        """
        job = self.registry.job(job_id)
        if job.state == PAUSED:
            self.registry.requeue_job(job)
        elif job.finished_at is not None:
            hint = "" if job.state == DONE else f"shelf jobs retry {job_id}"
            raise Conflict(f"Job {job_id} is {job.state}.", hint=hint, job_id=job_id)
        return self.registry.job(job_id)

    def cancel(self, job_id: int) -> Job:
        """Cancel a job and its evictions; what arrived stays for the next try. One that has ended stays as it is.

        Raises:
            Conflict: It is a part of another job; or it deletes what a move left, which nothing else would find.
        """
        self._check_whole(job_id, "cancel")
        job = self.registry.job(job_id)
        if not can_be_cancelled(job) and job.finished_at is None:
            raise Conflict(
                f"Job {job_id} deletes the old copy of {job.model_name}; without it a second one would stay.",
                hint="It waits for who uses that copy: shelf ps and shelf lease tell who.",
                job_id=job_id,
            )
        self.registry.cancel_job(job_id)
        return self.registry.job(job_id)

    def retry(self, job_id: int) -> Job:
        """Try a job again that failed or was cancelled, or now one that waits; what arrived isn't fetched again.

        Raises:
            Conflict: It is done or paused, or another job does the same, or has done it since; or it is a load.
        """
        job = self.registry.job(job_id)
        if job.kind == JobKind.LOAD:
            hint = f"Load it anew: shelf chat {job.model_name}, or a request to the server."
            raise Conflict(f"Job {job_id} is a load; the process that began it keeps it.", hint=hint, job_id=job_id)
        if job.state in (DONE, PAUSED):
            hint = f"shelf jobs resume {job_id}" if job.state == PAUSED else ""
            raise Conflict(f"Job {job_id} is {job.state}.", hint=hint, job_id=job_id)
        if job.state in (FAILED, CANCELLED, WAITING):
            self._check_alone(job)
            self.registry.requeue_job(job)
        return self.registry.job(job_id)

    def first(self, job_id: int) -> Job:
        """Let a job begin before all others that wait; what runs goes on.

        Raises:
            Conflict: It has ended, or is a part of another job.
        """
        return self._reorder(job_id, first=True)

    def last(self, job_id: int) -> Job:
        """Let a job begin after all others that wait; raises as `first` does."""
        return self._reorder(job_id, first=False)

    def _reorder(self, job_id: int, *, first: bool) -> Job:
        self._check_whole(job_id, "first" if first else "last")
        if not self.registry.reorder_job(job_id, first=first):
            state = self.registry.job(job_id).state
            raise Conflict(f"Job {job_id} is {state}.", hint="Only a job that hasn't ended has a place.", job_id=job_id)
        return self.registry.job(job_id)

    def _check_whole(self, job_id: int, verb: str) -> None:
        """Raise Conflict if a job that hasn't ended is a part of another one, which would fail or begin it again."""
        job = self.registry.job(job_id)
        parent = self._parent(job) if job.finished_at is None else None
        if parent is not None and parent.finished_at is None:
            raise Conflict(
                f"Job {job_id} makes room for job {parent.id}.", hint=f"shelf jobs {verb} {parent.id}", job_id=job_id
            )

    def _parent(self, job: Job) -> Job | None:
        try:
            return None if job.parent_id is None else self.registry.job(job.parent_id)
        except NotFound:  # it ended long ago
            return None

    def _check_alone(self, job: Job) -> None:
        """Raise Conflict if another job of the same kind works on the same model, or has worked on it since."""
        same = self.registry.jobs(kind=job.kind, model_id=job.model_id) if job.model_id else []
        for other in same:
            if other.state in UNFINISHED and other.id != job.id:
                raise Conflict(f"Job {other.id} does the same.", hint=f"shelf jobs retry {other.id}", job_id=other.id)
            if other.state == DONE and other.id > job.id:
                hint = f"Job {job.id} is over; begin a new {job.kind} if there is more to do."
                raise Conflict(f"Job {other.id} did the same since.", hint=hint, job_id=other.id)
