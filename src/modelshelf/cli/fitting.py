"""Texts and tables of a given width: names lose their middle, sentences wrap, numbers stay whole.

>>> shorten("models--HuggingFaceTB--SmolLM2", 15), fold("as long as it is", 8)
('models-…SmolLM2', ['as long', 'as it is'])
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_NARROW = re.compile("[ -\u02ff\u2010-\u2027]*")
"""Letters and signs that take one cell each, without a lookup."""
_LEAST = 7
"""A shorter name says nothing; then the terminal wraps."""
_TELLING = 16
"""Cells of a shortened name that still tells models apart."""


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes; a Chinese letter takes two."""
    if _NARROW.fullmatch(text):
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def shorten(text: str, most: int, sign: str = "…") -> str:
    """Return a text of at most `most` cells, shortened in the middle."""
    if cells(text) <= most:
        return text
    tail = (most - 1) // 2
    return _first(text, most - 1 - tail) + sign + _first(text[::-1], tail)[::-1]


def _first(text: str, most: int) -> str:
    """Return as many of the first characters as `most` cells hold."""
    taken = 0
    for at, char in enumerate(text):
        taken += cells(char)
        if taken > most:
            return text[:at]
    return text


def fold(text: str, most: int, sign: str = "…") -> list[str]:
    """Return a text's lines, broken between words; a word that is longer than a line loses its middle."""
    lines: list[str] = []
    for word in (shorten(word, most, sign) for word in text.split(" ")):
        if lines and cells(lines[-1]) + 1 + cells(word) <= most:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def fit(widths: Sequence[int], fixed: Iterable[int], most: int) -> list[int]:
    """Return the widths of columns that are together `most` wide, if possible.

    The widest of those that may be narrowed are narrowed first.

    >>> fit([96, 40, 5, 8], [3], 50)
    [18, 18, 5, 8]

    Args:
        widths: What each column needs.
        fixed: The columns that stay as they are.
        most: The cells for all of them.
    """
    kept = set(fixed)
    free = sorted(width for at, width in enumerate(widths) if at not in kept)
    room = most - sum(widths[at] for at in kept)
    cap = max(free, default=0)
    for at, width in enumerate(free):
        share = room // (len(free) - at)
        if share < width:
            cap = max(share, _LEAST)
            break
        room -= width
    return [width if at in kept else min(width, cap) for at, width in enumerate(widths)]


def columns(
    rows: Sequence[Sequence[str]],
    whole: frozenset[int],
    sentences: frozenset[int],
    gap: int,
    most: int | None,
    spare: frozenset[int] = frozenset(),
    narrow: Sequence[int] = (),
) -> dict[int, int]:
    """Return a table's columns that stand side by side, and their widths.

    Args:
        rows: Its cells, the header's too.
        whole: The columns that are never narrowed.
        sentences: The columns that are left out if the table would be too wide.
        gap: The cells between two columns.
        most: The cells of a line; None for unlimited.
        spare: The columns that are left out if names would be shortened to less than they need to be told apart.
        narrow: The columns that are left out one after the other while the table is wider than a line.
    """
    widths = {at: max(cells(row[at]) for row in rows) for at in range(len(rows[0]))}
    if most is None or sum(widths.values()) + gap * (len(widths) - 1) <= most:
        return widths
    beside = [at for at in widths if at not in sentences]
    fixed = [i for i, at in enumerate(beside) if at in whole]
    fitted = dict(zip(beside, fit([widths[at] for at in beside], fixed, most - gap * (len(beside) - 1)), strict=True))
    if spare and any(width < min(widths[at], _TELLING) for at, width in fitted.items()):
        return columns(rows, whole, sentences | spare, gap, most, narrow=narrow)
    if narrow and sum(fitted.values()) + gap * (len(fitted) - 1) > most:
        return columns(rows, whole, sentences | {narrow[0]}, gap, most, narrow=narrow[1:])
    return fitted
