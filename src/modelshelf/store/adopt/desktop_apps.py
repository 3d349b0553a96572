"""Models in the folders of Jan, GPT4All, llama.cpp, AUTOMATIC1111 and Forge, and InvokeAI. Never changed.

Sources: docs/tools.md. Jan keeps `NAME/model.yml` with the file beside it; GPT4All GGUF files side by side; llama.cpp
`ORG_NAME_FILE` with a `manifest=ORG=NAME=TAG.json` (`common/arg.cpp`, before it took over the Hub's own cache); the
web UIs `models/KIND` and `embeddings`; InvokeAI a tree of files and pipelines below `models`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from modelshelf.domain.adopt_inventory import FoundModel, Origin
from modelshelf.errors import BadInput
from modelshelf.store.adopt.foreign import (
    files_of,
    fits,
    folders,
    is_plain,
    made_up_id,
    model_of,
    repo_id_of,
    weights_in,
)
from modelshelf.store.adopt.tool_folders import single_files
from modelshelf.store.probe import is_file, is_folder

_MANIFEST = re.compile(r"manifest=([^=]+)=([^=]+)=[^=]*\.json")
_UI_KINDS = (
    *("Stable-diffusion", "Lora", "LyCORIS", "VAE", "VAE-approx", "ControlNet", "ESRGAN", "RealESRGAN"),
    *("text_encoder", "hypernetworks", "embeddings"),
)


def is_of_jan(folder: Path) -> bool:
    """Return whether a folder is a model of Jan's."""
    return is_file(folder / "model.yml")


def of_jan(folder: Path) -> Iterator[FoundModel]:
    """Yield the model of one of Jan's folders; one whose file is elsewhere has none."""
    files = {name: path for name, path in files_of(folder).items() if name != "model.yml"}
    with contextlib.suppress(BadInput):
        if files:
            yield model_of(Origin.JAN, folder, made_up_id("jan", folder.name), files, called=folder.name)


def loose(path: Path) -> list[Path]:
    """Return the GGUF files that are in a folder itself."""
    return [file for file in sorted(path.glob("*.gguf")) if is_plain(file) and fits(file.name)]


def llama_cpp(path: Path) -> Iterator[FoundModel]:
    """Yield the models of llama.cpp's cache; those whose repository no manifest names get an id that is made up."""
    left = {file.name: file for file in loose(path)}
    for manifest in sorted(path.glob("manifest=*.json")):
        named = _MANIFEST.fullmatch(manifest.name)
        repo_id = repo_id_of(f"{named[1]}/{named[2]}") if named else None
        prefix = f"{named[1]}_{named[2]}_" if named else ""
        files = {name.removeprefix(prefix): left[name] for name in left if repo_id and name.startswith(prefix)}
        files = {name: file for name, file in files.items() if fits(name)}
        for file in files.values():
            del left[file.name]
        if repo_id is not None and files:
            yield model_of(Origin.LLAMA_CPP, path, repo_id, files)
    yield from single_files(Origin.LLAMA_CPP, "llamacpp", path, left.values())


def is_web_ui(path: Path) -> bool:
    """Return whether a folder is AUTOMATIC1111's web UI, or Forge."""
    return is_folder(path / "models" / "Stable-diffusion")


def web_ui(path: Path) -> Iterator[FoundModel]:
    """Yield the models of a web UI, one for each file."""
    for folder in [*folders(path / "models"), path / "embeddings"]:
        if folder.name in _UI_KINDS:
            yield from single_files(Origin.WEB_UI, "webui", folder, weights_in(folder), folder.name)


def find(path: Path) -> Iterator[FoundModel] | None:
    """Return the models of a program that its folder shows; None for any other folder."""
    if is_web_ui(path):
        return web_ui(path)
    if is_invokeai(path):
        return invokeai(path)
    if path.name == "llama.cpp":
        return llama_cpp(path)
    return single_files(Origin.GPT4ALL, "gpt4all", path, loose(path)) if path.name == "GPT4All" else None


def is_invokeai(path: Path) -> bool:
    """Return whether a folder is the one of InvokeAI's models."""
    return path.name == "models" and (is_file(path.parent / "invokeai.yaml") or is_folder(path.parent / "databases"))


def invokeai(path: Path) -> Iterator[FoundModel]:
    """Yield the models of InvokeAI: each pipeline of diffusers, and each other file."""
    pipelines = [file.parent for file in sorted(path.glob("**/model_index.json")) if is_plain(file)]
    for folder in pipelines:
        with contextlib.suppress(BadInput):
            if files := files_of(folder):
                repo_id = made_up_id("invokeai", folder.relative_to(path).as_posix())
                yield model_of(Origin.INVOKEAI, folder, repo_id, files, called=folder.name)
    alone = (file for file in weights_in(path) if not any(folder in file.parents for folder in pipelines))
    yield from single_files(Origin.INVOKEAI, "invokeai", path, alone)
