"""Choosing the engine of one model, and what it may do; its next start takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelshelf.domain.backend_choice import FoundBackend
from modelshelf.domain.engine_choice import NOTHING_CHOSEN, EngineChoice
from modelshelf.domain.engine_wishes import EngineChange
from modelshelf.domain.models import Model
from modelshelf.errors import BadInput
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library


@dataclass(frozen=True, slots=True)
class EngineChooser:
    """Writes down what a person chose."""

    registry: Registry
    library: Library
    found: Callable[[], Sequence[FoundBackend]]
    """Returns what is installed."""

    def check(self, change: EngineChange, now: EngineChoice | None = None) -> EngineChoice:
        """Return a choice with its change, which can be had here.

        Args:
            change: What is to be another.
            now: What was chosen; None for a model that is new.

        Raises:
            BadInput: There is no such engine, it isn't installed, or it doesn't take an argument.
        """
        choice = change.applied(now or NOTHING_CHOSEN)
        if change.engine and choice.engine:
            why_not = next((one.why_not for one in self.found() if one.name == choice.engine), "")
            if why_not:
                raise BadInput(f"{choice.engine} can't be used here: {why_not}", hint="shelf engines lists what can.")
        return choice

    def choose(self, model_name: str, change: EngineChange) -> Model:
        """Change what a model's engine is and may do; returns the model.

        An engine that runs goes on as it is until it is idle.

        Raises:
            NotFound: There is no such model.
            BadInput: See `check`; nothing was changed.
        """
        row = self.library.row(model_name)
        if not change.is_empty:
            self.registry.set_engine(row.id, self.check(change, row.engine))
        return self.library.model(model_name)
