"""What this process's terminal can show, and what its user wants to see on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TextIO

from modelshelf.errors import ShelfError
from modelshelf.store.small_files import read_small_text

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_USUAL = os.terminal_size((80, 24))


@dataclass(slots=True)
class Wishes:
    """The options that every command takes."""

    no_color: bool = False
    no_truncate: bool = False
    quiet: bool = False
    as_json: bool = False


WISHES = Wishes()
"""This process's options."""


def asked_by_fish() -> bool:
    """Return whether the shell that started this process is fish, which has words of its own for variables."""
    try:
        return read_small_text(f"/proc/{os.getppid()}/comm").strip() == "fish"
    except (OSError, ShelfError):
        return False


class Styled(str):
    """A text with a style on a terminal, and a plain text elsewhere."""

    style: str

    def __new__(cls, text: str, style: str) -> Styled:
        """Return it.

        Args:
            text: The text.
            style: A key of the styles; empty for none.
        """
        made = super().__new__(cls, text)
        made.style = style
        return made


def is_drawable(stream: TextIO) -> bool:
    """Return whether a line can be redrawn on a stream."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_color(stream: TextIO) -> bool:
    """Return whether a stream gets colours.

    Source: https://no-color.org, "when present and not an empty string".
    """
    return is_drawable(stream) and not WISHES.no_color and not os.environ.get("NO_COLOR")


def width(stream: TextIO) -> int | None:
    """Return how many cells a stream's line has; None if nothing is shortened."""
    return None if WISHES.no_truncate or not stream.isatty() else columns(stream)


def columns(stream: TextIO) -> int:
    """Return how many cells a terminal's line has."""
    wanted = os.environ.get("COLUMNS", "")
    return int(wanted) if wanted.isdecimal() else _size(stream).columns


def rows(stream: TextIO) -> int:
    """Return how many lines a terminal has."""
    return _size(stream).lines


def _size(stream: TextIO) -> os.terminal_size:
    try:
        found = os.get_terminal_size(stream.fileno())
    except OSError:
        return _USUAL
    return found if found.columns and found.lines else _USUAL


def paint(text: str, style: str, stream: TextIO) -> str:
    """Return a text in a style, if the stream gets colours."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and has_color(stream) else text


def glyph(drawn: str, plain: str, stream: TextIO) -> str:
    """Return a character that the stream's encoding has."""
    return drawn if (stream.encoding or "").lower().startswith("utf") else plain
