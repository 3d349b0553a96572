"""Looking at a folder that is to be adopted: which one is meant, and whether it can be read."""

from __future__ import annotations

import os
from pathlib import Path

from modelshelf.domain.adopt_inventory import Inventory
from modelshelf.domain.eviction import listed
from modelshelf.errors import BadInput, Denied, NotFound
from modelshelf.store.adopt import inventory
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_closed, is_folder, is_link
from modelshelf.store.repos import scan
from modelshelf.units import format_size

ELSEWHERE = (
    *("~/.cache/huggingface", "~/.lmstudio/models", "~/.cache/lm-studio/models", "~/.ollama/models"),
    *("~/.cache/modelscope/hub/models", "~/.cache/torch/sentence_transformers", "~/.cache/torch/hub/checkpoints"),
)
"""Where programs keep models by default."""

LOOSE = "Loose GGUF files are taken from a folder named models, as local/NAME: shelf adopt FOLDER/models --move"


def has_models(path: Path) -> bool:
    """Return whether anything in a folder is a model."""
    return bool(inventory.find(path).models)


def check_open(path: Path, found: Inventory) -> None:
    """Raise if the scan couldn't look into a folder.

    Raises:
        BadInput: Its hub is a link, so the files aren't the cache's own.
        Denied: It, or a folder that may hold models, can't be read.
    """
    hub = Base(path).hub
    if is_link(hub):
        target = hub.resolve()
        raise BadInput(
            f"{hub} is a link to {target}: a base and its hub have to be on one disk.",
            hint=f"Adopt what it leads to: shelf adopt {target}",
            path=str(path),
        )
    below = [path / inner for inner in ("", "hub", "models", "manifests", "blobs", "models/manifests", "models/blobs")]
    closed = next((folder for folder in below if is_closed(folder) or _is_shut(folder)), None)
    if closed is not None and not found.models:
        raise Denied(
            f"This user can't read {closed}, which may hold models.",
            hint="Run this as its owner.",
            path=str(path),
        )


def _is_shut(folder: Path) -> bool:
    return is_folder(folder) and not scan.may_read(folder)


def folder_of(text: str) -> Path:
    """Return the absolute folder that a person means, without following it if it is a link.

    Raises:
        BadInput: It is a relative path, or one that can't be a base.
    """
    path = Path(os.path.normpath(Path(text).expanduser()))
    if not path.is_absolute():
        raise BadInput(f"{text} is not an absolute path.", hint="Write the whole path.", path=text)
    if path.name == "hub" and is_folder(path.parent / "hub"):
        raise BadInput(
            f"{path} is in a hub folder; a base is the folder above 'hub'.",
            hint=f"Use {path.parent}",
            path=str(path),
        )
    return path


def nothing_in(path: Path) -> NotFound:
    """Return the error for a folder that no reader understands, with the weights that are in it."""
    loose = inventory.loose_weights(path)
    hint = "Give a base (the folder above hub), a cache_dir, or another tool's folder of models."
    names = listed([f"{Path(one.path).relative_to(path)} ({format_size(one.size_bytes)})" for one in loose])
    return NotFound(
        f"Nothing in {path} can be adopted{f'; these files stay: {names}' if names else ''}.",
        hint=LOOSE if any(one.path.lower().endswith(".gguf") for one in loose) else hint,
        path=str(path),
        others=[{"path": one.path, "size_bytes": one.size_bytes, "detail": one.why} for one in loose],
    )
