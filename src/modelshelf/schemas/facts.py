"""What a model is, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.model_facts import ModelFacts


@dataclass(frozen=True)
class MemoryJson(JsonObject):
    """A model's memory, without what its engine needs beside it."""

    context: int
    """The context in tokens: 8192, or the model's maximum if less."""
    weights_bytes: int
    """Its weights."""
    kv_cache_bytes: int
    """Its cache of keys and values, in 16 bits; an upper bound if some layers have a window."""
    total_bytes: int
    """Both together."""


@dataclass(frozen=True)
class FactsJson(JsonObject):
    """What a model is by its files; null for what none of them says."""

    architecture: str | None
    """The class of transformers or diffusers, or the architecture of llama.cpp."""
    parameters: int | None
    """The number of its weights."""
    experts: int | None
    """For a mixture of experts: how many each layer has."""
    experts_per_token: int | None
    """How many of them a token uses."""
    context_length: int | None
    """The longest context, in tokens."""
    quantisation: str | None
    """How most of its weights are written, such as `BF16`, `Q4_K_M` or `gptq 4-bit`."""
    formats: Sequence[str]
    """The formats of its weights, such as `safetensors` and `GGUF`."""
    license: str | None
    """Its license."""
    base_models: Sequence[str]
    """The repositories that it was made from."""
    tags: Sequence[str]
    """The tags of its README."""
    chat_template: bool | None
    """Whether it has one."""
    chat_template_file: str
    """The file with it; empty without one."""
    runs_with: Sequence[str]
    """Programs that load its formats, of transformers, llama.cpp, vLLM, mlx and diffusers."""
    needs_code: bool
    """Whether code in its files would run when transformers loads it; `trust_remote_code` lets it."""
    is_pickle: bool
    """Whether its weights are Python pickles, which can run code when they are loaded; `allow_pickle` lets them."""
    memory: MemoryJson | None
    """Its memory for a usual context."""
    unread: Sequence[str]
    """Why existing files couldn't be read, and how many parts of the weights are missing, each in a sentence."""

    @classmethod
    def of(cls, facts: ModelFacts) -> FactsJson:
        """Return the object for a model's facts."""
        memory = facts.memory()
        return cls.like(facts, memory=None if memory is None else MemoryJson.like(memory))
