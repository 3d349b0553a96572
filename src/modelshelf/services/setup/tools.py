"""Which tools that use models are installed here."""

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
"""By which engine a tool is known to be installed; the others come with huggingface_hub."""


def engines() -> dict[str, str]:
    """Return the engines that this process can start, name to where it found them; none is imported."""
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
    """Return the places of tools that are here: their program is, or the folder of their own kind."""
    there = engines()

    def is_here(place: ToolFolder) -> bool:
        engine = _ENGINES_OF.get(place.tool)
        return engine is None or engine in there or (not place.stock and is_there(Path(place.path)))

    return [place for place in places if is_here(place)]
