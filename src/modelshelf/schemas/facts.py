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
    """What a model takes in memory, without what its engine needs beside."""

    context: int
    """For a context of so many tokens: 8192, or all that the model takes."""
    weights_bytes: int
    """Its weights."""
    kv_cache_bytes: int
    """Its cache of keys and values, in 16 bits; at most so much, where some layers look at a window alone."""
    total_bytes: int
    """Both together."""


@dataclass(frozen=True)
class FactsJson(JsonObject):
    """What a model's files say that it is; what none of them says is null."""

    architecture: str | None
    """The class of transformers or diffusers, or the architecture of llama.cpp."""
    parameters: int | None
    """How many weights it has."""
    experts: int | None
    """Of a mixture of experts: how many each layer has."""
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
    """The file that has it; empty without one."""
    runs_with: Sequence[str]
    """What loads its formats, of transformers, llama.cpp, vLLM, mlx and diffusers."""
    memory: MemoryJson | None
    """What it takes in memory for a usual context."""
    unread: Sequence[str]
    """Which of its files can't be read, and why."""

    @classmethod
    def of(cls, facts: ModelFacts) -> FactsJson:
        """Return what a model is."""
        memory = facts.memory()
        return cls.like(facts, memory=None if memory is None else MemoryJson.like(memory))
