"""What an empty library can begin with: what other programs keep on this machine. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelshelf.domain.adopt_all import PlaceHeld
from modelshelf.domain.unadopted import Unadopted
from modelshelf.server.web import words
from modelshelf.units import many


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What was found; no model where there is nothing."""

    models: int
    size: str
    places: Sequence[tuple[str, str]]
    """Of each place the program with what it holds, and the folder."""
    command: str
    """What shows the plan."""
    registers: bool
    """Whether there is something of Hugging Face programs, which can be registered where it is."""
    takes_all: bool
    """Whether the known places hold something that can be taken in."""


def first_run(usual: Unadopted, places: Sequence[PlaceHeld], *, is_place: bool) -> FirstRun:
    """Return what an empty library can begin with.

    Args:
        usual: What Hugging Face programs downloaded.
        places: What the known places hold.
        is_place: Whether their folder is one of these; else it is a tier's base.
    """
    every = list(places)
    if usual.models and not is_place:
        every.insert(0, PlaceHeld("Hugging Face", usual.path, usual.models, usual.size_bytes))
    return FirstRun(
        sum(place.models for place in every),
        words.size(sum(place.size_bytes for place in every)),
        [(f"{place.program}: {_held(place)}", place.path) for place in every],
        "shelf adopt --all --dry-run" if places else f"{usual.command} --dry-run",
        bool(usual.models),
        bool(places),
    )


def _held(place: PlaceHeld) -> str:
    return f"{many(place.models, 'model')}, {words.size(place.size_bytes)}"
