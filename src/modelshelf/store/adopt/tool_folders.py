"""Models in other tools' folders, each by a small reader. None of their files is ever changed.

Sources: LM Studio keeps `models/ORG/NAME/…`, GGUF and MLX alike; ModelScope `hub/models/ORG/NAME/…` (before 1.16
`hub/ORG/NAME/…`), with `.` spelled `___` and a file `.mdl` or `.msc` in each; sentence-transformers before 3
`ORG_NAME/` with `modules.json`; text-generation-webui `models/ORG_NAME/` with `huggingface-metadata.txt`
(`download-model.py`) and single GGUF files beside them; ComfyUI `models/KIND/…` (`folder_paths.py`); torch hub
`hub/checkpoints/*.pth` (`torch/hub.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelshelf.domain.adopt_inventory import FoundModel, Origin
from modelshelf.domain.names import RepoId
from modelshelf.errors import BadInput
from modelshelf.store.adopt.foreign import files_of, folders, made_up_id, model_of, repo_id_of, weights_in
from modelshelf.store.probe import is_file
from modelshelf.store.small_files import read_small_text

COMFYUI_KINDS = frozenset(
    "checkpoints clip clip_vision controlnet diffusers diffusion_models embeddings gligen hypernetworks loras"
    " model_patches photomaker style_models text_encoders unet upscale_models vae vae_approx audio_encoders".split()
)
_METADATA = "huggingface-metadata.txt"
_PART = re.compile(r"-\d{5}-of-\d{5}\Z")
_URL = re.compile(r"^url: https://huggingface\.co/(\S+)$", re.MULTILINE)


def of_organisation(organisation: Path) -> Iterator[FoundModel]:
    """Yield the models of a folder `ORG` with folders `NAME`: LM Studio's and ModelScope's."""
    for folder in folders(organisation):
        is_modelscope = is_file(folder / ".mdl") or is_file(folder / ".msc")
        name = folder.name.replace("___", ".") if is_modelscope else folder.name
        repo_id, called = repo_id_of(f"{organisation.name}/{name}"), ""
        if repo_id is None:
            repo_id, called = _id_for(organisation.name, name), name
        if files := files_of(folder):
            kind = Origin.MODELSCOPE if is_modelscope else Origin.LM_STUDIO
            yield model_of(kind, folder, repo_id, files, called=called)


def _id_for(organisation: str, name: str) -> RepoId:
    """Return an id for folders whose names can't be one; the digest keeps those apart that only differ in the rest."""
    digest = hashlib.sha256(f"{organisation}/{name}".encode(errors="surrogateescape")).hexdigest()[:6]
    return made_up_id("local", digest, organisation, name)


def is_sentence_transformer(folder: Path) -> bool:
    """Return whether a folder is a model of sentence-transformers."""
    return is_file(folder / "modules.json") and is_file(folder / "config_sentence_transformers.json")


def sentence_transformer(folder: Path) -> Iterator[FoundModel]:
    """Yield the model of a folder `ORG_NAME`."""
    repo_id = repo_id_of(folder.name.replace("_", "/", 1))
    if repo_id is not None and (files := files_of(folder)):
        yield model_of(Origin.SENTENCE_TRANSFORMERS, folder, repo_id, files)


def is_of_webui(folder: Path) -> bool:
    """Return whether text-generation-webui downloaded a folder."""
    return is_file(folder / _METADATA)


def of_webui(folder: Path) -> Iterator[FoundModel]:
    """Yield the model of a folder that text-generation-webui downloaded."""
    said = None
    with contextlib.suppress(OSError, BadInput):
        said = _URL.search(read_small_text(folder / _METADATA))
    repo_id = repo_id_of(said[1] if said else folder.name.replace("_", "/", 1))
    files = {name: path for name, path in files_of(folder).items() if name != _METADATA}
    if repo_id is not None and files:
        yield model_of(Origin.WEBUI, folder, repo_id, files)


def single_files(
    kind: Origin, owner: str, folder: Path, files: Iterable[Path], prefix: str = ""
) -> Iterator[FoundModel]:
    """Yield a model for each file of weights; the parts of a split one are a model together.

    Args:
        kind: The program that it belongs to.
        owner: The first part of the ids that are made up for them.
        folder: The folder, whose sub-folders become part of the ids.
        files: The files in it and below it.
        prefix: What the second part of the ids begins with.
    """
    together: dict[str, list[Path]] = {}
    for file in files:
        whole = _PART.sub("", file.relative_to(folder).with_suffix("").as_posix())
        together.setdefault(whole, []).append(file)
    for whole, parts in together.items():
        with contextlib.suppress(BadInput):
            repo_id = made_up_id(owner, *filter(None, (prefix, whole)))
            named = {file.name: file for file in parts}
            yield model_of(kind, parts[0].parent, repo_id, named, called=whole.rpartition("/")[2])


def is_comfyui(path: Path) -> bool:
    """Return whether a folder is the one of a ComfyUI's models."""
    return len(COMFYUI_KINDS & {inner.name for inner in folders(path)}) > 1


def comfyui(path: Path) -> Iterator[FoundModel]:
    """Yield the models of a ComfyUI, one for each file; those of a pipeline are a model together."""
    for kind in folders(path):
        for folder in folders(kind) if kind.name == "diffusers" else ():
            if is_file(folder / "model_index.json") and (files := files_of(folder)):
                with contextlib.suppress(BadInput):
                    repo_id = made_up_id("comfyui", kind.name, folder.name)
                    yield model_of(Origin.COMFYUI, folder, repo_id, files, called=folder.name)
        if kind.name != "diffusers":
            yield from single_files(Origin.COMFYUI, "comfyui", kind, weights_in(kind), kind.name)


def is_torch_hub(path: Path) -> bool:
    """Return whether torch hub keeps its weights in a folder."""
    return path.parts[-2:] == ("hub", "checkpoints")
