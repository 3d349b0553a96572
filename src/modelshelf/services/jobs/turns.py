"""Claiming jobs in turn: by their order in the queue, within what the settings and slow disks allow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from modelshelf.domain.job_rules import JobRules, SlowDisk
from modelshelf.domain.jobs import Job
from modelshelf.registry.registry import Registry

_SAY_EVERY_S = 2.0
"""How often a process says that it stands ready for a job, in seconds: well below when that is forgotten."""
_MOST_READY = 16
"""For so many jobs at once a process says so: those behind them come later anyway."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Claims jobs for this process.

    A job that has to wait says what for. While a process stands ready to run it, those behind it in the queue don't
    begin in its stead, in no process.
    """

    registry: Registry
    owner: str
    rules: JobRules = JobRules()  # noqa: RUF009 - frozen
    slow_disk: Callable[[Job], SlowDisk | None] = lambda job: None
    """Returns the slow disk that a job would write to; see `space.reach`."""
    _mine: set[int] = field(default_factory=set)
    """The jobs that threads of this process work on, also where one was paused and hasn't noticed yet."""
    _said_at: dict[int, float] = field(default_factory=dict)
    """When this process last said that it stands ready for a job, by any clock."""
    _claiming: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, job: Job, *, part_of: int | None = None, waits: bool = True) -> Job | None:
        """Claim a job; None if it has to wait, has ended, or another process runs it.

        Args:
            job: The job.
            part_of: The running job that needs it, which then waits for it and must not be waited for.
            waits: Whether it may have to wait for others.

        **Concurrency:** the owner is the process, so a job that was paused and resumed waits until its thread has left.
        """
        disk = self.slow_disk(job)
        asked = job if part_of is None else replace(job, parent_id=part_of)
        takes_turns = waits and self.rules.takes_turns(asked, disk)
        if takes_turns and (why := self.rules.why_not_yet(asked, disk, *self.registry.contenders())):
            self._wait(job, why, disk)
            return None

        def why_not(running: Sequence[Job], ready: Sequence[Job]) -> str:
            return self.rules.why_not_yet(asked, disk, running, ready) if takes_turns else ""

        with self._claiming:
            if job.id in self._mine:
                return None
            if takes_turns or disk is not None:
                mine = self.registry.claim_in_turn(self.owner, job.id, disk.key if disk else "", why_not)
            else:
                mine = self.registry.claim(self.owner, job.id)
            if mine is not None:
                self._mine.add(job.id)
                self._said_at.pop(job.id, None)
        return mine

    def leave(self, job: Job) -> None:
        """Let go of a job that no thread of this process works on any more."""
        self._mine.discard(job.id)

    def _wait(self, job: Job, why: str, disk: SlowDisk | None) -> None:
        """Write what a job waits for, and now and then that this process stands ready for it."""
        now_s = time.monotonic()
        for job_id in [job_id for job_id, at in tuple(self._said_at.items()) if now_s - at >= _SAY_EVERY_S]:
            self._said_at.pop(job_id, None)
        is_ready = job.id not in self._said_at and len(self._said_at) < _MOST_READY
        if is_ready:
            self._said_at[job.id] = now_s
        if is_ready or job.detail != why:
            self.registry.note_wait(job, why, (disk.key if disk else "") if is_ready else None)
