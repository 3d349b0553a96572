"""A treemap: areas in proportion to bytes, as near to squares as they get. Pure geometry, in per cent.

Source: M. Bruls, K. Huizing, J. J. van Wijk, Squarified Treemaps, 2000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_SHARE = 0.003
"""What takes less of the whole is drawn together with its like."""
MOST_CELLS = 140
_LINE_H = 17
_CHAR_W, _SMALL_CHAR_W = 7.4, 6.3
"""Widths of an average letter at 13 and 11 px, in px; a label that is cut a letter early does no harm."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A place in a picture, in per cent of its width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Frame:
    """How large a picture is on a screen, about, in px: it says which way to lay rows and what text fits."""

    width: int
    height: int


WIDE, TALL = Frame(940, 320), Frame(330, 460)


def squarify(sizes: Sequence[float], within: Rect, frame: Frame) -> list[Rect]:
    """Return a place for each size, in their order; give the largest first.

    >>> squarify([1, 1], Rect(0, 0, 100, 100), Frame(200, 100))
    [Rect(x=0, y=0.0, width=50.0, height=100.0), Rect(x=50.0, y=0.0, width=50.0, height=100.0)]
    """
    total = sum(sizes)
    if total <= 0:
        return []
    places: list[Rect] = []
    left, rest, at = within, total, 0
    while at < len(sizes):
        row = _row(sizes[at:], rest, left, frame)
        taken = sum(row)
        width, height = _side(left, frame)
        strip, left = _cut(left, taken / rest if rest else 1, frame)
        places += _fill(strip, row, is_upright=width >= height)
        at += len(row)
        rest -= taken
    return places


def _side(place: Rect, frame: Frame) -> tuple[float, float]:
    return place.width * frame.width, place.height * frame.height


def _row(sizes: Sequence[float], rest: float, left: Rect, frame: Frame) -> list[float]:
    """Return the sizes of the next row: as many as make its worst cell nearer to a square."""
    width, height = _side(left, frame)
    short, scale = min(width, height), width * height / rest if rest else 0
    row: list[float] = []
    for one in sizes:
        if row and _worst([*row, one], short, scale) > _worst(row, short, scale):
            break
        row.append(one)
    return row


def _worst(row: Sequence[float], short: float, scale: float) -> float:
    area, least = sum(row) * scale, min(row) * scale
    if area <= 0 or least <= 0 or short <= 0:
        return float("inf")
    return max(short**2 * max(row) * scale / area**2, area**2 / (short**2 * least))


def _cut(place: Rect, share: float, frame: Frame) -> tuple[Rect, Rect]:
    """Return the strip along the short side that takes a share, and what is left."""
    width, height = _side(place, frame)
    share = min(1.0, max(0.0, share))
    if width >= height:
        taken = place.width * share
        left = Rect(place.x + taken, place.y, place.width - taken, place.height)
        return Rect(place.x, place.y, taken, place.height), left
    taken = place.height * share
    return Rect(place.x, place.y, place.width, taken), Rect(place.x, place.y + taken, place.width, place.height - taken)


def _fill(strip: Rect, row: Sequence[float], *, is_upright: bool) -> list[Rect]:
    """Return the places of a row: from top to bottom in a strip that was cut from the left, else from left to right."""
    total, at, places = sum(row), 0.0, []
    for one in row:
        share = one / total if total else 1 / len(row)
        if is_upright:
            places.append(Rect(strip.x, strip.y + at * strip.height, strip.width, strip.height * share))
        else:
            places.append(Rect(strip.x + at * strip.width, strip.y, strip.width * share, strip.height))
        at += share
    return places


def split(place: Rect, share: float, frame: Frame) -> tuple[Rect, Rect]:
    """Return a place cut in two across its long side: the second part takes a share.

    >>> split(Rect(0, 0, 100, 100), 0.25, Frame(200, 100))[1]
    Rect(x=75.0, y=0, width=25.0, height=100)
    """
    first, second = _cut(place, 1 - share, frame)
    return first, second


def few(sizes: Sequence[int], total: int) -> int:
    """Return how many of the sizes, the largest first, get a cell of their own.

    >>> few([500, 400, 2, 1], 1000), few([], 1)
    (2, 0)
    """
    large = sum(1 for one in sizes if total and one / total >= _LEAST_SHARE)
    return min(large, MOST_CELLS)


@dataclass(frozen=True, slots=True)
class Label:
    """The text in a cell."""

    text: str
    y: int
    css: str
    """`n` for a name, `d` for what stands below it, with ` sm` for small letters."""
    x: int


def labels(name: str, below: Sequence[str], place: Rect, frame: Frame) -> list[Label]:
    """Return what of a name and the lines below it fits a cell; nothing where even a few letters don't.

    >>> [label.text for label in labels("a-long-name", ["1 GB"], Rect(0, 0, 10, 100), Frame(940, 320))]
    ['a-long-name', '1 GB']
    >>> labels("x", [], Rect(0, 0, 1, 1), Frame(940, 320))
    []
    """
    width, height = place.width / 100 * frame.width, place.height / 100 * frame.height
    is_small = width < 100 or height < 50
    char_w, x, first, line = (_SMALL_CHAR_W, 6, 17, 15) if is_small else (_CHAR_W, 9, 20, _LINE_H)
    fits = int((width - 2 * x) / char_w)
    if fits < 4 or height < first + 4:
        return []
    css = " sm" if is_small else ""
    shown = [Label(_cut_text(name, fits), first, "n" + css, x)]
    for number, text in enumerate(below, start=1):
        y = first + number * line
        if y + 4 > height or len(text) * char_w * 0.95 > width - x:
            break
        shown.append(Label(text, y, "d" + css, x))
    return shown


def _cut_text(text: str, fits: int) -> str:
    return text if len(text) <= fits else text[: max(1, fits - 1)] + "…"
