"""Engines as JSON: what is installed, and what would serve a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.domain.backend_choice import endpoints_of
from modelshelf.domain.backends import BACKENDS
from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.backend_choice import Choice, FoundBackend, Verdict
    from modelshelf.domain.fit import Fit
    from modelshelf.domain.model_facts import ModelFacts
    from modelshelf.domain.models import Model
    from modelshelf.domain.outcomes import Warmed


@dataclass(frozen=True)
class BackendJson(JsonObject):
    """A kind of program that answers for models."""

    engine: str
    """Its name."""
    installed: bool
    """Whether it can be used here."""
    version: str
    """Empty where it doesn't say without being started."""
    where: str
    """The folder, the file or the setting that it was found by; empty where it wasn't."""
    formats: Sequence[str]
    """The formats of weights that it takes; none: whatever a person says."""
    endpoints: Sequence[str]
    """What may be asked of it, by the path below `/v1`."""
    detail: str
    """Why it can't be used, in a sentence; empty where it can."""

    @classmethod
    def of(cls, found: FoundBackend) -> BackendJson:
        """Return what of a backend is here."""
        backend = BACKENDS[found.name]
        endpoints = sorted({endpoint.value for kind in backend.endpoints.values() for endpoint in kind})
        return cls(
            engine=found.name,
            installed=not found.why_not,
            version=found.version,
            where=found.where,
            formats=sorted(backend.formats),
            endpoints=endpoints,
            detail=found.why_not,
        )


@dataclass(frozen=True)
class VerdictJson(JsonObject):
    """Whether a backend can serve a model."""

    engine: str
    """Its name."""
    detail: str
    """Why it can't, in a sentence; empty where it can."""


@dataclass(frozen=True)
class ModelEngineJson(JsonObject):
    """What would serve a model."""

    model_name: str
    """The model."""
    kind: str
    """What it is for: `generate`, `embed` or `rerank`."""
    engine: str
    """What serves it."""
    detail: str
    """Why that one, in a sentence."""
    endpoints: Sequence[str]
    """What may be asked of it, by the path below `/v1`."""
    memory_bytes: int | None
    """What it takes in memory for a usual context, without what its engine needs beside; null: not known."""
    others: Sequence[VerdictJson]
    """The other engines."""

    @classmethod
    def of(cls, model: Model, facts: ModelFacts, choice: Choice, judged: Sequence[Verdict]) -> ModelEngineJson:
        """Return what would serve a model."""
        memory = facts.memory()
        answers = endpoints_of(choice.backend, facts.kind, lacks_template=facts.lacks_template)
        return cls(
            model_name=model.row.model_name,
            kind=facts.kind.value,
            engine=choice.backend.name,
            detail=choice.why,
            endpoints=sorted(endpoint.value for endpoint in answers),
            memory_bytes=memory.total_bytes if memory else None,
            others=[VerdictJson(one.backend.name, one.why_not) for one in judged if one.backend is not choice.backend],
        )


@dataclass(frozen=True)
class FitJson(JsonObject):
    """Whether a model fits the memory."""

    model_name: str
    """The model."""
    engine: str
    """What would serve it."""
    context: int | None
    """For a context of so many tokens; null where its files don't tell how its cache grows."""
    weights_bytes: int | None
    """Its weights; null likewise."""
    kv_cache_bytes: int | None
    """Its cache of keys and values for that context; null likewise."""
    engine_bytes: int
    """What its engine takes beside."""
    needs_bytes: int
    """All together; where the cache isn't known, the weights and a fifth more."""
    device: str
    """Whose memory: `gpu`, or empty for the machine's own."""
    free_bytes: int
    """What is free there now."""
    total_bytes: int
    """What there is in all."""
    fits: bool
    """Whether it fits what is free now."""
    fits_machine: bool
    """Whether it fits once nothing else takes memory."""
    largest_context: int | None
    """The longest context that fits what is free now; null where that isn't known."""
    trained_context: int | None
    """The longest context that the model was trained for; null where that isn't known."""

    @classmethod
    def of(cls, model_name: str, fit: Fit) -> FitJson:
        """Return whether a model fits."""
        memory = fit.memory
        return cls.like(
            fit,
            model_name=model_name,
            context=memory.context if memory else None,
            weights_bytes=memory.weights_bytes if memory else None,
            kv_cache_bytes=memory.kv_cache_bytes if memory else None,
        )


@dataclass(frozen=True)
class WarmedJson(JsonObject):
    """What reading a model into memory took."""

    model_name: str
    """The model."""
    read_bytes: int
    """What was read."""
    seconds: float
    """How long that took."""
    rate_bytes_per_s: float
    """How fast that was."""

    @classmethod
    def of(cls, model_name: str, warmed: Warmed) -> WarmedJson:
        """Return what was read."""
        return cls.like(warmed, model_name=model_name, seconds=round(warmed.seconds, 3))
