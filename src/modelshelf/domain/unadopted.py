"""Unregistered models that other programs downloaded, in words for a new user.

>>> found = Unadopted("/home/me/.cache/huggingface", 14, 183_000_000_000, is_default=True)
>>> f"{found.where}: {found.command}"
'14 models (183.0 GB) are in /home/me/.cache/huggingface: shelf adopt'
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from modelshelf.units import format_size, many


@dataclass(frozen=True, slots=True)
class Unadopted:
    """The models in the base that Hugging Face programs use."""

    path: str
    """The base."""
    models: int
    size_bytes: int
    """The bytes in their folders."""
    is_default: bool
    """Whether `shelf adopt` uses that base by default."""

    @property
    def where(self) -> str:
        """How many there are, and where.

        >>> Unadopted("/x y", 1, 1000, is_default=False).where
        '1 model (1.0 kB) is in /x y'
        """
        verb = "is" if self.models == 1 else "are"
        return f"{many(self.models, 'model')} ({format_size(self.size_bytes)}) {verb} in {self.path}"

    @property
    def command(self) -> str:
        """The command that shows what can be done with them.

        >>> Unadopted("/x y", 1, 1000, is_default=False).command
        "shelf adopt '/x y'"
        """
        return "shelf adopt" if self.is_default else f"shelf adopt {shlex.quote(self.path)}"
