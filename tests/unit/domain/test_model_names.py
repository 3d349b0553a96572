"""Default names for models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.model_names import chosen_name, free_name
from modelshelf.domain.names import ModelName
from modelshelf.errors import BadInput


@given(st.text(max_size=200), st.text(max_size=200), st.integers(0, 12))
def test_a_name_is_free_and_can_be_one(repo_id: str, called: str, tries: int) -> None:
    """A default name is valid and free, whatever the repository is called and however many have that name."""
    taken: set[str] = set()
    for _ in range(tries):
        taken.add(free_name(repo_id, taken, called=called))

    name = free_name(repo_id, taken, called=called)

    assert name == ModelName(name)
    assert (name in taken, len(taken)) == (False, tries)


def test_what_tells_it_apart_stands_behind_it() -> None:
    """A quantisation or a commit follows the name, before a number."""
    taken = {"m-gguf-q8_0", "org-m-gguf-q8_0"}

    assert free_name("org/M-GGUF", (), behind="Q8_0") == "m-gguf-q8_0"
    assert free_name("org/M-GGUF", taken, behind="Q8_0") == "org-m-gguf-q8_0-2"


@pytest.mark.parametrize("word", ["primary", "Secondary", "custom"])
def test_the_word_for_a_tier_names_no_model(word: str) -> None:
    """A person can't call a model by the word for a tier, and a repository of that name gets another one."""
    with pytest.raises(BadInput, match="is the word for a tier"):
        chosen_name(word)

    assert chosen_name(f"{word}-model") == f"{word}-model"
    assert free_name(f"org/{word}", ()) == f"org-{word.lower()}"


def test_a_name_that_is_too_long_says_so() -> None:
    """A name of too many characters is refused with how many it has, and how many it may have."""
    with pytest.raises(BadInput) as raised:
        chosen_name("a" * 121)

    assert raised.value.hint == "It has 121 characters; use at most 120."
