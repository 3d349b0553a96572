"""Where programs that use models keep them on this machine. Pure.

Sources: docs/tools.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelshelf.domain.tool_environment import hf_home, hub_cache

PLACE_VARIABLES = (
    "HOME XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE TRANSFORMERS_CACHE LLAMA_CACHE"
    " OLLAMA_MODELS TORCH_HOME MODELSCOPE_CACHE SENTENCE_TRANSFORMERS_HOME"
).split()
"""The variables that move these places."""
HUGGING_FACE = "Hugging Face"


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """A folder in which a program keeps models."""

    program: str
    path: str
    """Absolute; it may not exist."""


def known_places(environ: Mapping[str, str]) -> list[KnownPlace]:
    """Return where programs keep models; those that know a model's repository come first, so that it gets that name.

    >>> [place.path for place in known_places({"HOME": "/me"}) if place.program == "Ollama"]
    ['/me/.ollama/models', '/usr/share/ollama/.ollama/models', '/var/lib/ollama']
    """
    found: dict[str, str] = {}
    for program, path in _places({name: text for name, text in environ.items() if text.strip()}):
        if path.startswith("/"):
            found.setdefault(str(PurePosixPath(path)), program)
    return [KnownPlace(program, path) for path, program in found.items()]


def _places(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    home = environ.get("HOME", "")
    cache = environ.get("XDG_CACHE_HOME", f"{home}/.cache")
    data = environ.get("XDG_DATA_HOME", f"{home}/.local/share")
    torch = environ.get("TORCH_HOME", f"{cache}/torch")
    yield from _of_hugging_face(environ, home)
    yield from (("LM Studio", f"{home}/{path}") for path in (".lmstudio/models", ".cache/lm-studio/models"))
    scope = environ.get("MODELSCOPE_CACHE", f"{cache}/modelscope/hub")
    yield from (("ModelScope", path) for path in (f"{scope}/models", scope))
    yield "sentence-transformers", environ.get("SENTENCE_TRANSFORMERS_HOME", f"{torch}/sentence_transformers")
    yield "llama.cpp", environ.get("LLAMA_CACHE", f"{cache}/llama.cpp")
    yield from (("clones", f"{home}/{path}") for path in ("models", "Models", "huggingface"))
    webui = ("text-generation-webui/user_data/models", "text-generation-webui/models")
    yield from (("text-generation-webui", f"{home}/{path}") for path in webui)
    yield from (("Ollama", path) for path in filter(None, (environ.get("OLLAMA_MODELS"), f"{home}/.ollama/models")))
    yield from (("Ollama", path) for path in ("/usr/share/ollama/.ollama/models", "/var/lib/ollama"))
    yield from (("Jan", f"{path}/data/llamacpp/models") for path in (f"{data}/Jan", f"{home}/.config/Jan"))
    yield "GPT4All", f"{data}/nomic.ai/GPT4All"
    yield from (("ComfyUI", f"{home}/{path}/models") for path in ("ComfyUI", "comfy/ComfyUI", "Documents/ComfyUI"))
    yield "A1111", f"{home}/stable-diffusion-webui"
    yield "Forge", f"{home}/stable-diffusion-webui-forge"
    yield from (("InvokeAI", f"{home}/{path}/models") for path in ("invokeai", "InvokeAI"))
    yield "torch hub", f"{torch}/hub/checkpoints"


def _of_hugging_face(environ: Mapping[str, str], home: str) -> Iterator[tuple[str, str]]:
    """Yield the bases and the cache_dirs of Hugging Face's programs: those of the variables, then the usual one."""
    yield HUGGING_FACE, _base_of(hub_cache(environ)[0])
    yield HUGGING_FACE, hf_home(environ)[0]
    if "TRANSFORMERS_CACHE" in environ:
        yield HUGGING_FACE, _base_of(environ["TRANSFORMERS_CACHE"])
    yield HUGGING_FACE, f"{home}/.cache/huggingface"


def _base_of(cache: str) -> str:
    pure = PurePosixPath(cache)
    return str(pure.parent if pure.name == "hub" else pure)
