"""Which tools that use models are installed."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

from modelshelf.domain.tool_environment import ToolFolder
from modelshelf.store.probe import is_there

_PROGRAMS = ("llama-server", "ollama", "vllm", "lms")
_MODULES = ("xllamacpp", "transformers", "vllm")
_ENGINES_OF = {"vLLM": "vllm", "llama.cpp": "llama-server", "Ollama": "ollama", "LM Studio": "lms"}
"""The engine that shows that a tool is installed; the others come with huggingface_hub."""


def engines() -> dict[str, str]:
    """Return the engines that this process can start, name to path; none is imported."""
    found = {name: place for name in _PROGRAMS if (place := shutil.which(name))}
    for name in _MODULES:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is not None and name not in found:
            found[name] = "Python"
    return found


def installed(places: Sequence[ToolFolder]) -> list[ToolFolder]:
    """Return the places of installed tools: those with their program, or with their own kind of folder."""
    there = engines()

    def is_here(place: ToolFolder) -> bool:
        engine = _ENGINES_OF.get(place.tool)
        return engine is None or engine in there or (not place.stock and is_there(Path(place.path)))

    return [place for place in places if is_here(place)]
