"""Releases what dead processes hold: their reservations, and their jobs, which go back into the queue."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from modelshelf.domain.jobs import QUEUED, RUNNING, UNFINISHED, Job, JobKind
from modelshelf.errors import Denied
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.process import is_alive


def as_it_is(job: Job) -> Job:
    """Return a job; one of a process that died as queued, as which the next look that may write records it."""
    if job.state != RUNNING or job.kind == JobKind.LOAD or is_alive(job.owner) is not False:
        return job
    return replace(job, state=QUEUED, owner="", phase="", rate_bytes_per_s=0, detail="")


def recover_dead_owners(registry: Registry) -> None:
    """Delete dead processes' reservations, and queue their jobs again; a load of theirs has failed."""
    unfinished = registry.jobs(state=UNFINISHED)
    held = {reservation.owner for reservation in registry.reservations.all()}
    held |= {job.owner for job in unfinished if job.owner}
    with contextlib.suppress(Denied):  # a read-only registry keeps what they hold, and it holds up no one there
        for owner in held:
            if is_alive(owner) is False:
                registry.give_up_owner(owner)
        if any(job.kind == JobKind.LOAD for job in unfinished):
            registry.end_lost_loads()
