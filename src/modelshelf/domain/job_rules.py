"""What a person wants of jobs: how long they are kept, in which order they begin, and how many run side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelshelf.domain.jobs import Job, JobKind

_DOWNLOADS, _MOVES = (JobKind.PULL, JobKind.UPDATE, JobKind.MIRROR), (JobKind.MOVE,)
_WRITERS = (JobKind.PULL, JobKind.UPDATE, JobKind.MOVE)
"""Jobs that write whole models. A fetch for a client of `/hf` isn't one of them: somebody waits for the answer."""
_LEAST_THREADS = 2


@dataclass(frozen=True, slots=True)
class SlowDisk:
    """A disk that is slower with two writers than with one."""

    key: str
    """The same for every process of the machine, and for all file systems of the disk."""
    base: str
    """The base on it, for people."""


@dataclass(frozen=True, slots=True)
class JobRules:
    """The settings of jobs."""

    days: int = 30
    """JOBS_DAYS: how long a finished job is kept."""
    max_downloads: int | None = None
    """MAX_DOWNLOADS: how many pulls, updates and fetches for clients of `/hf` run side by side; None: any number."""
    max_moves: int | None = None
    """MAX_MOVES: the same for moves."""

    @property
    def threads(self) -> int:
        """How many jobs a server runs side by side."""
        return max(_LEAST_THREADS, (self.max_downloads or 0) + (self.max_moves or 0))

    def takes_turns(self, job: Job, disk: SlowDisk | None) -> bool:
        """Return whether a job may have to wait for others.

        Args:
            job: The job.
            disk: The slow disk that it would write to.
        """
        return self._most(job)[1] is not None or (disk is not None and job.kind in _WRITERS)

    def why_not_yet(self, job: Job, disk: SlowDisk | None, running: Iterable[Job], ready: Iterable[Job]) -> str:
        """Return why a job may not begin yet, in a sentence; empty if it may.

        Those before it in the queue that a process stands ready to run, and that may begin, come first.

        Args:
            job: The job.
            disk: The slow disk that it would write to.
            running: The jobs that run, in all processes.
            ready: The jobs that a process stands ready to run.
        """
        held = [other for other in running if other.id != job.id]
        mine = _place(job)
        for other in sorted((other for other in ready if other.id != job.id and _place(other) < mine), key=_place):
            if not self._why(other, other.disk, "", held):
                held.append(other)
        return self._why(job, disk.key if disk else "", disk.base if disk else "", held)

    def _why(self, job: Job, disk: str, base: str, held: Sequence[Job]) -> str:
        name, most = self._most(job)
        like = sum(other.parent_id is None and self._most(other)[0] == name for other in held)
        if most is not None and like >= most:
            return f"Waits for its turn ({name}={most})."
        if disk and job.kind in _WRITERS:
            for other in held:
                if other.disk == disk and other.kind in _WRITERS and not _are_family(job, other):
                    return f"Waits for job {other.id}: one writer at a time on {base}, a slow disk."
        return ""

    def _most(self, job: Job) -> tuple[str, int | None]:
        """Return the setting that limits a job, and the limit; what another job caused is a part of that one."""
        if job.parent_id is None and job.kind in _DOWNLOADS:
            return "MAX_DOWNLOADS", self.max_downloads
        if job.parent_id is None and job.kind in _MOVES:
            return "MAX_MOVES", self.max_moves
        return "", None


def _place(job: Job) -> tuple[bool, int, int]:
    """Return a job's place in the queue: parts first, because a job that runs waits for them."""
    return job.parent_id is None, -job.priority, job.id


def _are_family(job: Job, other: Job) -> bool:
    """Return whether two jobs are parts of one, or one of them is a part of the other."""
    are_parts = job.parent_id is not None and job.parent_id == other.parent_id
    return are_parts or other.id == job.parent_id or other.parent_id == job.id
