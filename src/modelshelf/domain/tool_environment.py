"""What other tools' variables mean: where each tool looks for models, and which of them conflict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

SECRETS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
"""Reports say only whether these are set."""
VARIABLES = (
    "HOME XDG_CACHE_HOME HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE TRANSFORMERS_CACHE HF_HUB_OFFLINE"
    " TRANSFORMERS_OFFLINE HF_XET_CACHE HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH HF_ENDPOINT LLAMA_CACHE"
    " OLLAMA_MODELS HF_HUB_DISABLE_SYMLINKS"
).split()
ENGINE_PACKAGES = "torch transformers accelerate gguf"
"""Packages that load models here, named one by one, because the project is on no index."""
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})


@dataclass(frozen=True, slots=True)
class ToolFolder:
    """A tool's folder for models."""

    tool: str
    path: str
    """Relative if the tool resolves it from its working directory."""
    why: str
    """The variable that sets it, or `its default`."""
    stock: bool = True
    """Whether it reads Hugging Face's layout; other tools have their own."""


def hub_cache(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the cache_dir of every Hugging Face tool, and the variable that sets it.

    Source: huggingface_hub `constants.py`; transformers 5 takes it from there.

    >>> hub_cache({"HOME": "/home/me", "HF_HOME": "~/hf"})
    ('/home/me/hf/hub', 'HF_HOME')
    >>> hub_cache({"HOME": "/home/me", "HF_HOME": "/hf", "HF_HUB_CACHE": "/data/hub"})
    ('/data/hub', 'HF_HUB_CACHE')
    >>> hub_cache({"HOME": "/home/me"})
    ('/home/me/.cache/huggingface/hub', 'its default')
    """
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if name in environ:
            return expand(environ[name], environ), name
    home, why = hf_home(environ)
    return join(home, "hub"), why


def usual_hub(environ: Mapping[str, str]) -> str:
    """Return the hub of Hugging Face tools if it can be a tier's: it is set, and its name is `hub`; empty otherwise.

    >>> usual_hub({"HOME": "/home/me", "HF_HUB_CACHE": "/data/hf/hub/"})
    '/data/hf/hub'
    >>> usual_hub({"HOME": "/home/me", "HF_HUB_CACHE": "/data/models"})
    ''
    >>> usual_hub({"HOME": "/home/me", "XDG_CACHE_HOME": "/data/cache"})
    '/data/cache/huggingface/hub'
    """
    named = {name: text for name, text in environ.items() if text.strip()}
    cache, why = hub_cache({name: text for name, text in named.items() if name != "HF_HOME"})
    is_base = PurePosixPath(cache).name == "hub" and cache.startswith("/") and why != "its default"
    return str(PurePosixPath(cache)) if is_base else ""


def hf_home(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return HF_HOME for Hugging Face tools, and the variable that sets it."""
    if "HF_HOME" in environ:
        return expand(environ["HF_HOME"], environ), "HF_HOME"
    if "XDG_CACHE_HOME" in environ:
        return join(environ["XDG_CACHE_HOME"], "huggingface"), "XDG_CACHE_HOME"
    return join(environ.get("HOME", "~"), ".cache/huggingface"), "its default"


def token_path(environ: Mapping[str, str]) -> str:
    """Return the file that `hf auth login` writes the token to."""
    return expand(environ.get("HF_TOKEN_PATH") or join(hf_home(environ)[0], "token"), environ)


def is_offline(environ: Mapping[str, str]) -> str:
    """Return the variable that keeps Hugging Face tools from asking the hub; empty if none does."""
    text = environ.get("HF_HUB_OFFLINE") or environ.get("TRANSFORMERS_OFFLINE") or ""
    if text.upper() not in _TRUE:
        return ""
    return "HF_HUB_OFFLINE" if environ.get("HF_HUB_OFFLINE") else "TRANSFORMERS_OFFLINE"


def places(environ: Mapping[str, str]) -> list[ToolFolder]:
    """Return each tool's folder on this machine, given these variables.

    Source: llama.cpp `common/hf-cache.cpp` (LLAMA_CACHE, then as the hub's tools); Ollama `envconfig`; LM Studio's
    default folder.
    """
    cache, why = hub_cache(environ)
    llama = (expand(environ["LLAMA_CACHE"], environ), "LLAMA_CACHE") if environ.get("LLAMA_CACHE") else (cache, why)
    home = environ.get("HOME", "~")
    ollama = environ.get("OLLAMA_MODELS")
    return [
        ToolFolder("hf", cache, why),
        ToolFolder("transformers", cache, why),
        ToolFolder("vLLM", cache, why),
        ToolFolder("llama.cpp", *llama),
        ToolFolder(
            "Ollama", ollama or join(home, ".ollama/models"), "OLLAMA_MODELS" if ollama else "its default", False
        ),
        ToolFolder("LM Studio", join(home, ".lmstudio/models"), "its default", stock=False),
    ]


def join(folder: str, name: str) -> str:
    """Return the path of a name in a folder; in no folder, the name."""
    return f"{folder.rstrip('/')}/{name}" if folder else name


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace `~` and known variables, as the tools do."""
    text = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: environ.get(found[1] or found[2], found[0]), text)
    return environ.get("HOME", "~") + text[1:] if text == "~" or text.startswith("~/") else text
