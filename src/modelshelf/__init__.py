"""One library of Hugging Face models across the disks of a machine.

import modelshelf

shelf = modelshelf.open()
shelf.register("qwen-3b", "Qwen/Qwen2.5-3B-Instruct", cache_location="primary")
model, tokenizer = shelf.load("qwen-3b")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.services.shelf import Shelf as Shelf

__version__ = "0.1.0"
__all__ = ["Shelf", "__version__", "open"]


def open(env_file: Path | None = None) -> Shelf:
    """Return the library that `.env` and the environment describe.

    Args:
        env_file: The settings file; by default `./.env`, else `modelshelf/.env` in the user's configuration folder.

    Raises:
        BadInput: The settings are wrong; every problem is named at once.
        Unavailable: A known base is not mounted, or the registry cannot be opened.
    """
    from modelshelf.bootstrap.shelf import open_shelf

    return open_shelf(env_file)


def __getattr__(name: str) -> object:
    if name == "Shelf":
        from modelshelf.services.shelf import Shelf

        return Shelf
    raise AttributeError(f"module 'modelshelf' has no attribute {name!r}")
