"""Adapters: weights that change a base model, which is in a repository of its own."""

from __future__ import annotations

from pathlib import Path

from modelshelf.domain.names import RepoId
from modelshelf.domain.outside import object_of
from modelshelf.errors import BadInput
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_there, real_path
from modelshelf.store.repos.snapshot import real_file
from modelshelf.store.small_files import read_small_json

_CONFIG = "adapter_config.json"
"""peft's file beside the adapter's weights."""


def base_repo(base: Base, snapshot: Path) -> RepoId | None:
    """Return the repository of the base model that a snapshot needs; None if it holds no adapter.

    With a `config.json` beside it a snapshot is a whole model, as for transformers.

    Args:
        base: The snapshot's base.
        snapshot: Its folder.

    Raises:
        BadInput: The adapter can't be read, or doesn't name a repository.
    """
    config = snapshot / _CONFIG
    if not is_there(config) or is_there(snapshot / "config.json"):
        return None
    real = real_file(config, real_path(base.hub))
    if real is None:
        raise BadInput(f"{config} isn't a file of its base.", path=str(config))
    try:
        said = object_of(read_small_json(real)).get("base_model_name_or_path")
        return RepoId(said)
    except OSError as err:
        raise BadInput(f"{config} can't be read: {err.strerror}.", path=str(config)) from err
    except BadInput as err:
        raise BadInput(
            f"{config} doesn't name the repository of its base model: {err.detail}",
            hint="Load it with peft, from its folder (shelf path) and that of the base model.",
            path=str(config),
        ) from err
