"""Colours that stand upon each other can be told apart, in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelshelf.server import web

CSS = (Path(web.__file__).parent / "static" / "tokens.css").read_text()
GROUNDS = ("bg", "surface", "sunken", "hover", "select")
TEXT, MARK = 4.5, 3.0
"""The least contrast of text, and of a mark (WCAG 2.2, 1.4.3 and 1.4.11)."""


def block(start: str) -> dict[str, str]:
    """Return the colours of a block."""
    body = CSS[(at := CSS.index(start)) : CSS.index("}", at)]
    found = re.findall(r"--([\w-]+):\s*#([0-9a-f]{3,6})\b", body)
    return {name: hex_ if len(hex_) == 6 else "".join(char * 2 for char in hex_) for name, hex_ in found}


LIGHT, DARK = block(':root, [data-theme="light"]'), block('\n[data-theme="dark"]')


def luminance(hex_: str) -> float:
    """Return a colour's relative luminance."""
    parts = [int(hex_[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ratio(one: str, other: str) -> float:
    """Return the contrast of two colours."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def pairs() -> list[tuple[str, str, float]]:
    """Return each colour, what it stands on, and the contrast that it needs."""
    found = [(text, ground, TEXT) for text in ("ink", "ink-2", "ink-3") for ground in GROUNDS]
    for text in ("live", "warn", "bad"):
        found += [(text, ground, TEXT) for ground in ("surface", "hover", "select", f"{text}-bg")]
    found += [("ink-2", "warn-bg", TEXT), ("ink-2", "bad-bg", TEXT), ("on-ink", "ink", TEXT), ("on-bad", "bad", TEXT)]
    found += [("on-warn-fill", "warn-fill", TEXT), ("on-grey", "grey-fill", TEXT), ("on-grey", "grey-fill-2", TEXT)]
    found += [(mark, ground, MARK) for mark in ("edge", "focus") for ground in ("surface", "bg")]
    for tier in ("t1", "t2", "t3"):
        found += [(f"on-{age}", f"{tier}-{age}", TEXT) for age in range(4)]
        found += [(f"{tier}-ink", f"{tier}-bg", TEXT), (f"{tier}-ink", "surface", TEXT), ("ink-3", f"{tier}-bg", TEXT)]
        found += [(f"{tier}-0", "sunken", MARK), (f"{tier}-1", "sunken", MARK), (f"{tier}-0", "surface", MARK)]
    return [*found, ("warn-fill", "sunken", MARK)]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_pair_can_be_told_apart(colours: dict[str, str]) -> None:
    """Text has a contrast of at least 4.5 with what it stands on, and a mark one of 3."""
    low = [pair for pair in pairs() if ratio(colours[pair[0]], colours[pair[1]]) < pair[2]]

    assert low == []


def test_both_ways_to_the_dark_theme_are_the_same() -> None:
    """The system's dark theme and the chosen one have the same colours, and the names of the light one."""
    assert block(':root:not([data-theme="light"])') == DARK
    assert DARK.keys() == LIGHT.keys()
