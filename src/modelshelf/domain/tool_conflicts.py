"""What is wrong with the variables by which Hugging Face tools find their folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from modelshelf.domain.doctor_report import Diagnosis, Severity
from modelshelf.domain.tool_environment import expand, hf_home, hub_cache, is_offline, join

_FOLDERS = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_XET_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS")


def conflicts(
    environ: Mapping[str, str], primary_base: str, is_same: Callable[[str, str], bool]
) -> Iterator[Diagnosis]:
    """Yield what is wrong with a process's variables.

    Args:
        environ: The variables.
        primary_base: The primary base, which they should lead to.
        is_same: Returns whether two paths lead to one place.
    """
    for name in _FOLDERS:
        if name in environ:
            yield from _folder(name, environ[name], environ)
    yield from _elsewhere(environ, primary_base, is_same)
    if offline := is_offline(environ):
        detail = f"{offline} is set: Hugging Face tools don't contact the hub, so nothing can be downloaded."
        yield _warn(detail, f"unset {offline}")
    if "TRANSFORMERS_CACHE" in environ:
        detail = "TRANSFORMERS_CACHE is set: only transformers before version 5 looks there."
        yield _warn(detail, "unset TRANSFORMERS_CACHE")


def _folder(name: str, text: str, environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    if not text.strip():
        detail = f"{name} is set but empty: programs use the current folder, not the default."
        if name in ("LLAMA_CACHE", "OLLAMA_MODELS"):
            return
        yield Diagnosis(Severity.ERROR, "environment", detail, f"unset {name}")
        return
    if name == "HF_XET_CACHE" and text.startswith("~"):
        detail = (
            f"HF_XET_CACHE={text}: hf_xet doesn't expand ~ and creates a folder of that name in the current folder."
        )
        path = f'"$HOME{text[1:]}"' if text[1:2] in ("", "/") else "/the/whole/path"
        yield Diagnosis(Severity.ERROR, "environment", detail, f"export HF_XET_CACHE={path}")
        return
    path = expand(text, environ)
    if not path.startswith("/"):
        detail = f"{name}={text} is relative: each program looks below its current folder."
        yield _warn(detail, f"export {name}=/the/whole/path")
    elif name == "HF_HOME" and PurePosixPath(path).name == "hub":
        parent = PurePosixPath(path).parent
        detail = f"HF_HOME={text} ends in hub: tools look in {path}/hub. It names the folder above."
        yield Diagnosis(Severity.ERROR, "environment", detail, f"export HF_HOME={parent}")


def _elsewhere(
    environ: Mapping[str, str], primary_base: str, is_same: Callable[[str, str], bool]
) -> Iterator[Diagnosis]:
    cache, why = hub_cache(environ)
    home, home_why = hf_home(environ)
    if why in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if home_why == "HF_HOME" and environ["HF_HOME"].strip() and not is_same(cache, join(home, "hub")):
            detail = f"{why}={environ[why]} beats HF_HOME={environ['HF_HOME']}: models go to the former, tokens stay."
            yield _warn(detail, f"unset {why}")
        if why == "HUGGINGFACE_HUB_CACHE":
            detail = "HUGGINGFACE_HUB_CACHE is an old name that other tools, such as llama.cpp, don't know."
            yield _warn(detail, f"unset {why}; export HF_HUB_CACHE={cache}")
    if cache.startswith("/") and not is_same(cache, join(primary_base, "hub")):
        detail = f"Hugging Face tools download to {cache} ({why}), not to the primary base {primary_base}."
        yield Diagnosis(Severity.INFO, "environment", detail, f"export HF_HOME={primary_base}", path=cache)


def _warn(detail: str, command: str) -> Diagnosis:
    return Diagnosis(Severity.WARNING, "environment", detail, command)
