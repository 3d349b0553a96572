"""What views for programs that make images hold: files by the part of a model that each is.

The folder in the repository tells the part, as in those of Comfy-Org, or else the names of the file's tensors.
`docs/tools.md` has the source of each layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from pathlib import PurePosixPath

from modelshelf.domain.views import Entry, Link, Text, ViewModel

PARTS = (
    *("checkpoints", "loras", "vae", "text_encoders", "diffusion_models"),
    *("controlnet", "upscale_models", "embeddings", "clip_vision"),
)
"""The folders of ComfyUI."""
_NAMED = {part: part for part in PARTS} | {"clip": "text_encoders", "unet": "diffusion_models", "lora": "loras"}
_FORMATS = (".safetensors", ".ckpt", ".pt", ".pth", ".sft")
_A1111 = {
    "checkpoints": "models/Stable-diffusion",
    "loras": "models/Lora",
    "vae": "models/VAE",
    "controlnet": "models/ControlNet",
    "upscale_models": "models/ESRGAN",
    "embeddings": "embeddings",
}
"""The folders of AUTOMATIC1111's web UI."""
_FORGE = _A1111 | {"diffusion_models": "models/Stable-diffusion", "text_encoders": "models/text_encoder"}
"""The folders of Forge, which takes the parts of a checkpoint in files of their own as well."""
_NONE = "None of its files is known, by its folder or its tensors, as a checkpoint, a LoRA, a VAE or the like."


def part_of(path: str, words: Set[str], *, is_beside_config: bool) -> str:
    """Return which part of an image model a file is; empty if that isn't known.

    Args:
        path: Its path in the repository.
        words: The parts of its tensors' names; none if they aren't known.
        is_beside_config: Whether a `config.json` is in its folder: then it belongs to transformers or diffusers, which
            keep a model in many files.

    >>> part_of("split_files/vae/ae.safetensors", set(), is_beside_config=False)
    'vae'
    """
    pure = PurePosixPath(path)
    if pure.suffix.lower() not in _FORMATS:
        return ""
    named = (_NAMED[folder] for folder in reversed(pure.parts[:-1]) if folder in _NAMED)
    return "" if is_beside_config else next(named, "") or _by_words(words)


def _by_words(words: Set[str]) -> str:
    """Return which part has tensors with such names.

    Source: the layouts that ComfyUI tells apart, `comfy/model_detection.py` and `comfy/sd.py`.
    """
    if any(word == "lora" or word.startswith("lora_") for word in words):
        return "loras"
    if "control_model" in words or any(word.startswith("controlnet_") for word in words):
        return "controlnet"
    if "diffusion_model" in words and words & {"first_stage_model", "cond_stage_model", "conditioner"}:
        return "checkpoints"
    if words & {"diffusion_model", "double_blocks", "joint_blocks", "transformer_blocks", "input_blocks"}:
        return "diffusion_models"
    if "first_stage_model" in words or words >= {"encoder", "decoder", "conv_in"}:
        return "vae"
    return "text_encoders" if words & {"text_model", "embed_tokens"} or words >= {"shared", "encoder"} else ""


def comfyui(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out ComfyUI's folders."""
    found = list(_by_part(model, {part: part for part in PARTS}))
    return iter(found) if found else _NONE


def comfyui_paths(root: str) -> dict[str, Entry]:
    """Return the file that names ComfyUI's folders, for `--extra-model-paths-config`."""
    folders = "".join(f"  {part}: {part}\n" for part in PARTS)
    return {"extra_model_paths.yaml": Text(f"modelshelf:\n  base_path: {json.dumps(root)}\n{folders}")}


def a1111(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out the folders of AUTOMATIC1111's web UI, below its own."""
    found = list(_by_part(model, _A1111))
    return iter(found) if found else _NONE


def forge(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out the folders of Forge, below its own."""
    found = list(_by_part(model, _FORGE))
    return iter(found) if found else _NONE


def invokeai(model: ViewModel, root: str) -> Iterator[tuple[str, Entry]] | str:
    """Lay out a folder for InvokeAI's scan: `ORG/NAME` with a whole pipeline of diffusers, else by part."""
    if any(file.path == "model_index.json" for file in model.files):
        return iter([(f"{model.repo_id}/{file.path}", Link(file.place)) for file in model.files])
    found = list(_by_part(model, {part: part for part in PARTS}))
    return iter(found) if found else _NONE


def _by_part(model: ViewModel, folders: Mapping[str, str]) -> Iterator[tuple[str, Entry]]:
    for file in model.files:
        part = model.parts.get(file.path, "")
        if part in folders:
            yield f"{folders[part]}/{model.repo_id}/{PurePosixPath(file.path).name}", Link(file.place)
