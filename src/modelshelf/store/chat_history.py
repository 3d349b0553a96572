"""What a user typed into conversations with models: a text file in the state folder, which only that user may read."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.errors import ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import chat_history_file
from modelshelf.store.small_files import read_small_text

_MOST_LINES = 1000
_LONGEST_CHARS = 1000
"""A longer line was pasted; with all the others it fits into what a small file may have."""


@dataclass(frozen=True, slots=True)
class ChatHistory:
    """The lines. A file that can't be read is an empty one, and what can't be written is lost: the talk goes on."""

    state_home: Path
    """XDG_STATE_HOME."""

    @property
    def path(self) -> Path:
        """The file."""
        return chat_history_file(self.state_home)

    def lines(self) -> list[str]:
        """Return the lines, the oldest first."""
        with contextlib.suppress(OSError, ShelfError):
            return read_small_text(self.path).splitlines()
        return []

    def add(self, lines: Sequence[str]) -> None:
        """Add lines behind those that other conversations added meanwhile; the oldest ones go."""
        new = [line.encode(errors="replace").decode() for line in lines if len(line) <= _LONGEST_CHARS]
        if not new:
            return
        kept = [*self.lines(), *new][-_MOST_LINES:]
        with contextlib.suppress(OSError, ShelfError):
            fs.write_text(self.state_home, self.path, "".join(f"{line}\n" for line in kept), mode=0o600)
