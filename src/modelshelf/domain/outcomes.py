"""Outcomes: the results of operations, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.freed import Freed

if TYPE_CHECKING:
    from modelshelf.domain.plans import RemovalPlan


@dataclass(frozen=True, slots=True)
class Removed:
    """The result of a removal."""

    model_name: str
    plan: RemovalPlan
    freed: Freed
    """Measured file by file."""
    kept: str
    """Why some of its bytes stay on the disk, in a sentence; empty if all went."""
    needed_by: list[str]
    """Registered adapters that can't be loaded without it, by name."""
    folders: list[str]
    """The folders of other programs that had it by a view, and don't any more."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The times and memory of loading a model and asking it one question."""

    load_s: float
    """Seconds from the start of its program, or of the import of transformers, to a model that can answer."""
    answer_s: float
    memory_bytes: int
    """What its processes held in memory: with transformers at most, else at the end."""
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Written:
    """The settings file that was written."""

    path: Path
    backup: Path | None
    """The path of the earlier content; None if there was none."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command of a plan, and whether it was run."""

    command: tuple[str, ...]
    ran: bool


@dataclass(frozen=True, slots=True)
class Warmed:
    """What reading a model into memory took."""

    read_bytes: int
    seconds: float

    @property
    def rate_bytes_per_s(self) -> float:
        """How fast.

        >>> Warmed(100, 0.5).rate_bytes_per_s, Warmed(0, 0.0).rate_bytes_per_s
        (200.0, 0.0)
        """
        return self.read_bytes / self.seconds if self.seconds else 0.0
