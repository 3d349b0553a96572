"""The times and memory of trying out a model, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.outcomes import Trial


@dataclass(frozen=True)
class TrialJson(JsonObject):
    """The times and memory of loading a model and asking it one question."""

    load_s: float
    """Seconds until it could answer."""
    answer_s: float
    """Seconds until it had answered."""
    memory_bytes: int
    """What its process held in memory: with transformers at most, else at the end."""
    prompt: str
    """The question."""
    answer: str
    """The answer."""

    @classmethod
    def of(cls, trial: Trial) -> TrialJson:
        """Return the object for a trial."""
        return cls.like(trial, load_s=round(trial.load_s, 3), answer_s=round(trial.answer_s, 3))
