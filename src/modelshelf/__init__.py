"""One library of Hugging Face models across the disks of a machine.

import modelshelf

shelf = modelshelf.open()
shelf.register("qwen-3b", "Qwen/Qwen2.5-3B-Instruct", cache_location="primary")
model, tokenizer = shelf.load("qwen-3b")
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.errors import (
    BadInput,
    Cancelled,
    Conflict,
    Corrupt,
    Denied,
    EngineFailed,
    NotFound,
    OutOfSpace,
    ShelfError,
    TooMany,
    Unavailable,
)

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job as Job
    from modelshelf.domain.models import Model as Model
    from modelshelf.domain.tiers import TierStatus as Tier
    from modelshelf.services.shelf import Shelf as Shelf

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "Cancelled",
    "Conflict",
    "Corrupt",
    "Denied",
    "EngineFailed",
    "Job",
    "Model",
    "NotFound",
    "OutOfSpace",
    "Shelf",
    "ShelfError",
    "Tier",
    "TooMany",
    "Unavailable",
    "__version__",
    "open",
]


def open(env_file: str | os.PathLike[str] | None = None) -> Shelf:
    """Return the library that `.env` and the environment describe.

    Args:
        env_file: The settings file; by default `./.env`, else `modelshelf/.env` in the user's configuration folder.

    Raises:
        BadInput: The settings are wrong; every problem is named at once.
        Unavailable: A known base isn't mounted, or the registry can't be opened.
    """
    from modelshelf.bootstrap.shelf import open_shelf

    return open_shelf(None if env_file is None else Path(env_file))


_LATER = {
    "Job": ("domain.jobs", "Job"),
    "Model": ("domain.models", "Model"),
    "Shelf": ("services.shelf", "Shelf"),
    "Tier": ("domain.tiers", "TierStatus"),
}
"""Imported on first use: `import modelshelf` loads nothing."""


def __getattr__(name: str) -> object:
    if name in _LATER:
        module, kind = _LATER[name]
        return getattr(importlib.import_module(f"modelshelf.{module}"), kind)
    raise AttributeError(f"module 'modelshelf' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, which are all that completion shows."""
    return sorted(__all__)
