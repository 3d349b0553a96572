"""What a person wants of jobs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobRules:
    """The settings of jobs."""

    days: int = 30
    """JOBS_DAYS: how long a finished job is kept."""
