"""The treemap of a tier: a cell for each model, and a block of its own for what isn't one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelshelf.domain.models import FileEntry, ModelRow
from modelshelf.schemas.tiers import TierJson
from modelshelf.server.web import words
from modelshelf.server.web.look import Look
from modelshelf.server.web.treemap import TALL, WIDE, Frame, Label, Rect, few, labels, split, squarify

_AGES_DAYS = (7, 30, 90)
_MOST_ROOM = 0.3
"""Headroom takes at most so much of the picture, or an almost empty tier would be all of it."""
_LINED = 12
"""So many of the largest models have their files drawn."""
_MOST_LINES = 24
_LEAST_FILE = 0.02


@dataclass(frozen=True, slots=True)
class Line:
    """Where a file ends in a model's cell, in per cent."""

    at: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell."""

    place: Rect
    css: str
    """`u0` to `u3` by how lately it was used; `uf`, `up`, `uw`, `ug` for what isn't a model."""
    fill: str
    pattern: str
    title: str
    """What it is, in a sentence."""
    labels: Sequence[Label]
    path: str = ""
    """The model's page; empty for what isn't a model."""
    lines: Sequence[Line] = ()
    lines_down: bool = False
    """Whether the lines lie across."""
    pinned: bool = False
    plate: int = 0
    """Width of the plate below the text, in px; 0 without."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A treemap for one kind of screen."""

    css: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Map:
    """The treemap of a tier."""

    label: str
    css: str
    """The class of the tier."""
    pictures: Sequence[Picture]
    """For a wide screen, and for a tall one."""
    is_scaled: bool
    """Whether headroom has its true area."""


@dataclass(frozen=True, slots=True)
class _Other:
    """What isn't a model."""

    name: str
    size_bytes: int
    css: str
    fill: str
    pattern: str = ""


def map_of(look: Look, tier: TierJson, files_of: Callable[[ModelRow], Sequence[FileEntry]]) -> Map | None:
    """Return the treemap of a tier; None if nothing is on it.

    Args:
        look: The library.
        tier: The tier.
        files_of: Returns a model's files; asked for the largest ones.
    """
    css = words.tier_class(tier.cache_location)
    models = sorted((row for row in look.on(tier) if row.size_bytes and row.signature), key=lambda row: -row.size_bytes)
    others, room = _others(tier, css), _room(tier)
    held = sum(row.size_bytes for row in models) + sum(one.size_bytes for one in others)
    if not held:
        return None
    shown = min(room, int(held * _MOST_ROOM / (1 - _MOST_ROOM)))
    if shown:
        others.insert(0, _Other("headroom", shown, "uf", "f-track"))
    files = {row.id: files_of(row) for row in models[:_LINED]}
    name = words.tier_name(tier.cache_location, tier.cache_path)
    pictures = [
        Picture(kind, _cells(look, models, others, files, frame, css, room))
        for kind, frame in (("tm-wide", WIDE), ("tm-tall", TALL))
    ]
    return Map(f"Space on {name}, by model and file", css, pictures, is_scaled=shown == room)


def _room(tier: TierJson) -> int:
    return words.headroom(tier.limit_bytes, tier.usage_bytes + tier.reserved_bytes, tier.free_bytes)


def _others(tier: TierJson, css: str) -> list[_Other]:
    sizes = tier.breakdown
    grey = sum(sizes.get(kind, 0) for kind in ("shared", "xet", "transformers", "other"))
    found = [
        _Other("reserved", tier.reserved_bytes, "up", "", f"r{css[1]}"),
        _Other("partial", sizes.get("partial", 0), "up", "", f"h{css[1]}"),
        _Other("orphans", sizes.get("orphans", 0), "uw", "f-warn"),
        _Other("other files", grey, "ug", "f-g2"),
    ]
    return [one for one in found if one.size_bytes > 0]


def _cells(
    look: Look,
    models: Sequence[ModelRow],
    others: Sequence[_Other],
    files: dict[int, Sequence[FileEntry]],
    frame: Frame,
    css: str,
    room: int,
) -> list[Cell]:
    mine, rest = sum(row.size_bytes for row in models), sum(one.size_bytes for one in others)
    whole = Rect(0, 0, 100, 100)
    left, right = split(whole, rest / (mine + rest), frame)
    count = few([row.size_bytes for row in models], mine + rest)
    sizes = [row.size_bytes for row in models[:count]]
    small = models[count:]
    if small:
        sizes.append(max(1, sum(row.size_bytes for row in small)))
    places = squarify(sizes, left, frame)
    cells = [_cell(look, row, place, files, frame, css) for row, place in zip(models, places[:count], strict=False)]
    if small:
        cells.append(_smaller(small, places[-1], frame, css))
    behind = squarify([one.size_bytes for one in others], right, frame)
    return cells + [_other(one, place, frame, room) for one, place in zip(others, behind, strict=True)]


def age_class(row: ModelRow, now_s: float) -> int:
    """Return how lately a model was used, or came if it never was, as eviction counts it.

    0 is this week, 1 this month, 2 in 90 days, 3 earlier.
    """
    days = (now_s - (row.last_used_at or row.arrived_at)) / 86400
    return sum(days > limit for limit in _AGES_DAYS)


def _cell(
    look: Look, row: ModelRow, place: Rect, files: dict[int, Sequence[FileEntry]], frame: Frame, css: str
) -> Cell:
    age, size = age_class(row, look.now_s), words.size(row.size_bytes)
    used = words.last_use(row.last_used_at, row.arrived_at, look.now_s)
    down = place.height * frame.height > place.width * frame.width
    return Cell(
        place=place,
        css=f"u{age}",
        fill=f"f-{css}-{age}",
        pattern="",
        title=f"{row.model_name}, {size}, {used}",
        labels=labels(row.model_name, [size, *used.split(", ")], place, frame),
        path=f"/models/{quote(row.model_name, safe='')}",
        lines=_lines(files.get(row.id, ())),
        lines_down=down,
        pinned=row.pinned and place.width * frame.width > 6000,
    )


def _lines(files: Sequence[FileEntry]) -> list[Line]:
    """Return where the files of a model end, largest first; small ones have no line."""
    sizes = sorted(({file.digest: file.size_bytes for file in files}).values(), reverse=True)
    total, at, lines = sum(sizes), 0, list[Line]()
    for one in sizes[:_MOST_LINES]:
        if not total or one / total < _LEAST_FILE:
            break
        at += one
        lines.append(Line(round(100 * at / total, 1)))
    return [line for line in lines if line.at < 98]


def _smaller(small: Sequence[ModelRow], place: Rect, frame: Frame, css: str) -> Cell:
    size = words.size(sum(row.size_bytes for row in small))
    name = f"{len(small):,} smaller"
    return Cell(
        place, "u3", f"f-{css}-3", "", f"{name} models, {size}", labels(name, [size], place, frame), "/models?sort=size"
    )


def _other(one: _Other, place: Rect, frame: Frame, room: int) -> Cell:
    size_bytes = room if one.name == "headroom" else one.size_bytes
    title = f"{one.name} {words.size(size_bytes)}"
    below = [words.size(size_bytes)]
    if one.name == "headroom" and room != one.size_bytes:
        title += ", drawn smaller than it is"
        below.append("not to scale")
    shown = labels(one.name, below, place, frame)
    plate = max((len(label.text) for label in shown), default=0) * 8 + 12 if one.pattern and shown else 0
    return Cell(place, one.css, one.fill, one.pattern, title, shown, plate=plate)
