"""The only printer: the answer to stdout, everything else to stderr; a table for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelshelf.cli.fitting import cells, columns, fold, shorten
from modelshelf.cli.terminal import Styled, glyph, paint, width
from modelshelf.cli.visible import visible
from modelshelf.schemas.json_object import to_json

_GAP = "  "
_NARROWEST = 20
"""Minimum cells for the lines of a wrapped sentence, however narrow the terminal is."""


def answer(text: str) -> None:
    """Print a command's answer: unchanged for a program, escaped for a terminal."""
    print(visible(text, lines=True) if sys.stdout.isatty() else text)


def line(text: str) -> None:
    """Print one line of an answer for people."""
    print(visible(text))


def part(text: str) -> None:
    """Print a piece of an answer that is still coming: unchanged for a program, escaped for a terminal."""
    shown = visible(text.replace("\t", "    "), lines=True) if sys.stdout.isatty() else text
    print(shown, end="", flush=True)


def drawn(sequences: str) -> None:
    """Send a terminal what it is to show, escape sequences of ours among it."""
    print(sequences, end="", flush=True)


def fact(label: str, text: str, indent: int, style: str = "") -> None:
    """Print a labelled fact; on a terminal a sentence wraps below itself, and a long path loses its middle.

    Args:
        label: Its label.
        text: The fact, in one line.
        indent: How many cells the label has.
        style: The label's style.
    """
    print(paint(visible(label).ljust(indent), style, sys.stdout) + f"\n{'':{indent}}".join(_folded(text, indent)))


def _folded(text: str, indent: int) -> list[str]:
    """Return the lines of a sentence that starts and wraps after so many cells."""
    most, shown = width(sys.stdout), visible(text)
    return [shown] if most is None else fold(shown, max(most - indent, _NARROWEST), _ellipsis())


def json_line(value: Any) -> None:
    """Print a value as JSON in one line, at once: programs read answers that go on."""
    print(visible(to_json(value, ensure_ascii=False)), flush=True)


def note(text: str, end: str = "\n", style: str = "") -> None:
    """Print something beside the answer."""
    said = paint(visible(text, lines=True), style, sys.stderr)
    print(_take_back() + said, end=end, file=sys.stderr, flush=True)


def draw(text: str) -> None:
    """Draw lines on stderr's terminal, which the next ones or a note replace."""
    before = _take_back()
    if before or text:
        _LINE.text = text
        print(before + visible(text, lines=True), end="", file=sys.stderr, flush=True)


@dataclass(slots=True)
class _DrawnLine:
    """What is drawn on stderr now."""

    text: str = ""


_LINE = _DrawnLine()


def _take_back() -> str:
    """Return the characters that delete the drawn lines, from the last to the first."""
    was, _LINE.text = _LINE.text, ""
    return "\r\x1b[2K" + "\x1b[A\x1b[2K" * was.count("\n") if was else ""


def clear() -> None:
    """Clear the terminal, so that printing begins at its top."""
    print("\x1b[H\x1b[J", end="")


def as_json(value: Any) -> None:
    """Print a value for programs."""
    print(visible(to_json(value, indent=2, ensure_ascii=False), lines=True))


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: frozenset[int] = frozenset(),
    sentences: frozenset[int] = frozenset(),
    whole: frozenset[int] = frozenset(),
    most_lines: int | None = None,
    spare: frozenset[int] = frozenset(),
    narrow: Sequence[int] = (),
) -> None:
    """Print a table that fits the terminal; in a pipe each row is one whole line.

    Args:
        header: The columns' names.
        rows: Their cells; see `terminal.Styled`.
        right: The columns of numbers, flush right and never shortened.
        sentences: The columns that go below their row if it would be too long.
        whole: Other columns that are never shortened.
        most_lines: The maximum number of lines.
        spare: The columns that a narrow terminal leaves out.
        narrow: The columns that a very narrow one leaves out as well, in this order, as far as that is needed.
    """
    lines, sign = list[str](), _ellipsis()
    titles = [Styled(title, "dim") for title in header]
    shown = [[visible(cell) for cell in row] for row in (titles, *rows)]
    widths = columns(shown, right | whole, sentences, len(_GAP), width(sys.stdout), spare, narrow)
    for texts, row in zip(shown, (titles, *rows), strict=True):
        beside = [_cell(texts[at], row[at], widths[at], sign, is_right=at in right) for at in widths]
        lines.append(_GAP.join(beside).rstrip())
        for at in sorted(sentences.difference(widths)):
            if texts[at] and row is not titles:
                lines += (2 * _GAP + part for part in _folded(texts[at], 2 * len(_GAP)))
    print("\n".join(lines[:most_lines]))


def _cell(text: str, cell: str, most: int, sign: str, *, is_right: bool) -> str:
    """Return a table's cell, padded to its column's width."""
    if (taken := cells(text)) > most:
        text = shorten(text, most, sign)
        taken = cells(text)
    painted, fill = paint(text, getattr(cell, "style", ""), sys.stdout), " " * (most - taken)
    return fill + painted if is_right else painted + fill


def _ellipsis() -> str:
    return glyph("…", "~", sys.stdout)
