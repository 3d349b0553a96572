"""Whether a model fits the memory of a machine, for a context of so many tokens."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.backend_choice import Choice
from modelshelf.domain.model_facts import ModelFacts
from modelshelf.domain.model_memory import Memory, largest_context, rough_bytes
from modelshelf.domain.serving import DeviceMemory

_LONGEST = 2**20
"""Tokens; where a model doesn't say its own."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model takes in memory, and what there is."""

    memory: Memory | None
    """None where its files don't tell its shape; then `needs_bytes` is a fifth more than its weights."""
    engine: str
    engine_bytes: int
    """What its engine holds beside."""
    needs_bytes: int
    """All together."""
    device: str
    """Whose memory: `gpu`, or empty for the machine's own."""
    free_bytes: int
    total_bytes: int
    largest_context: int | None
    """The longest context that fits what is free; None where that isn't known."""
    trained_context: int | None
    """The longest context that the model was trained for; None where that isn't known."""

    @property
    def fits(self) -> bool:
        """Whether it fits what is free now."""
        return self.needs_bytes <= self.free_bytes

    @property
    def fits_machine(self) -> bool:
        """Whether it fits once nothing else takes memory."""
        return self.needs_bytes <= self.total_bytes


def fit_of(facts: ModelFacts, choice: Choice, there: DeviceMemory, context: int | None) -> Fit:
    """Return whether a model fits.

    Args:
        facts: What the model is.
        choice: What serves it.
        there: The memory that it would take some of.
        context: For so many tokens; None for the usual.
    """
    memory, own = facts.memory(context), choice.backend.own_bytes
    weights, shape = facts.weights_bytes or 0, facts.kv_shape
    longest = None
    if shape is not None and weights:
        longest = largest_context(weights, shape, facts.context_length or _LONGEST, there.free_bytes - own)
    return Fit(
        memory=memory,
        engine=choice.backend.name,
        engine_bytes=own,
        needs_bytes=(memory.total_bytes if memory else rough_bytes(weights)) + own,
        device=choice.found.device,
        free_bytes=there.free_bytes,
        total_bytes=there.total_bytes,
        largest_context=longest,
        trained_context=facts.context_length,
    )
