"""What a person wants of jobs: how long they are kept, and how many run side by side."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.jobs import Job, JobKind

_DOWNLOADS, _MOVES = (JobKind.PULL, JobKind.UPDATE, JobKind.MIRROR), (JobKind.MOVE,)
_LEAST_THREADS = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """Which jobs take turns, in all processes of the library together."""

    kinds: tuple[JobKind, ...]
    most: int
    """How many of them run side by side."""
    why: str
    """What a job that waits for its turn says, in a sentence."""


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

    def turn_of(self, job: Job) -> Turn | None:
        """Return what limits a job; None for nothing: what another job caused is a part of it, and never waits."""
        if job.parent_id is not None:
            return None
        if job.kind in _DOWNLOADS and self.max_downloads is not None:
            return Turn(_DOWNLOADS, self.max_downloads, _why("MAX_DOWNLOADS", self.max_downloads))
        if job.kind in _MOVES and self.max_moves is not None:
            return Turn(_MOVES, self.max_moves, _why("MAX_MOVES", self.max_moves))
        return None


def _why(name: str, most: int) -> str:
    return f"Waits for its turn ({name}={most})."
