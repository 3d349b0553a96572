"""An empty library: what other programs keep here."""

from __future__ import annotations

from modelshelf.domain.adopt_all import PlaceHeld
from modelshelf.domain.unadopted import Unadopted
from modelshelf.server.web.first_run import first_run

NBSP = "\N{NO-BREAK SPACE}"
PLACES = [
    PlaceHeld("Hugging Face", "/me/.cache/huggingface", 2, 3_000_000),
    PlaceHeld("LM Studio", "/me/.lmstudio/models", 1, 1_000_000),
]


def test_every_place_is_listed_and_counted_once() -> None:
    """Each known place is listed with what it holds; the folder of Hugging Face programs counts once."""
    usual = Unadopted("~/.cache/huggingface", 2, 3_000_000, is_default=True)

    found = first_run(usual, PLACES, is_place=True)

    assert (found.models, found.size) == (3, f"4.0{NBSP}MB")
    assert found.places[1] == (f"LM Studio: 1 model, 1.0{NBSP}MB", "/me/.lmstudio/models")
    assert (found.command, found.registers, found.takes_all) == ("shelf adopt --all --dry-run", True, True)


def test_what_lies_in_a_tier_is_adopted_by_its_own_command() -> None:
    """Models in a tier's base, which `adopt --all` leaves out, are listed with the command that takes them."""
    usual = Unadopted("/srv/hf", 1, 1_000_000, is_default=False)

    found = first_run(usual, [], is_place=False)

    assert [path for _, path in found.places] == ["/srv/hf"]
    assert (found.command, found.registers, found.takes_all) == ("shelf adopt /srv/hf --dry-run", True, False)


def test_nothing_offers_no_plan() -> None:
    """Where nothing was found no place is listed, and the page has nothing to register."""
    found = first_run(Unadopted("~/.cache/huggingface", 0, 0, is_default=True), [], is_place=False)

    assert (found.models, found.places, found.registers, found.takes_all) == (0, [], False, False)
