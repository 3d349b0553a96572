"""What the front matter of a README says."""

from __future__ import annotations

import pytest

from modelshelf.domain.model_card import ModelCard, card_of, wanted_yaml


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("# Hello", ""),
        ("", ""),
        ("---\nlicense: mit", "license: mit"),
        ("\ufeff---  \nlicense: mit\n---\n", "license: mit"),
        ("---\ntags:\n  - a\n# note\n\n- b\nlanguage:\n- en\n'x': 1\n---\n", "tags:\n  - a\n# note\n\n- b"),
        ("---\nlicense: " + "x" * 20_000 + "\n---", ""),
    ],
    ids=["none", "empty", "without an end", "with a mark", "some keys of several", "too long"],
)
def test_the_wanted_lines_alone_are_parsed(text: str, wanted: str) -> None:
    """Only the lines of the wanted keys are parsed, whatever else is in the front matter."""
    assert wanted_yaml(text) == wanted


@pytest.mark.parametrize(
    ("said", "card"),
    [
        ({}, ModelCard()),
        ({"license": "mit", "license_name": "x", "tags": ["a", "b"]}, ModelCard("mit", (), ("a", "b"))),
        ({"license": "other", "license_name": "gemma"}, ModelCard("gemma")),
        ({"license": ["mit", "gpl"], "base_model": ["o/a", "o/b"]}, ModelCard("mit", ("o/a", "o/b"))),
        ({"license": {"a": 1}, "tags": [["x"], "", "y" * 300, "ok"]}, ModelCard(None, (), ("ok",))),
        ({"tags": [str(n) for n in range(90)]}, ModelCard(tags=tuple(str(n) for n in range(50)))),
    ],
    ids=["nothing", "plain", "a license of their own", "lists", "wrong types", "many tags"],
)
def test_what_a_card_says(said: dict[str, object], card: ModelCard) -> None:
    """A card's values are short texts or lists of them; anything else is left out."""
    assert card_of(said) == card
