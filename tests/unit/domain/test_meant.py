"""Which model a name means."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from modelshelf.domain.meant import model_meant, without_address
from modelshelf.domain.models import ModelRow
from modelshelf.errors import BadInput

BLANK: dict[str, Any] = {field.name: "" for field in dataclasses.fields(ModelRow)}
ROWS = [
    ModelRow(**(BLANK | {"id": number, "model_name": name, "hf_path": repo_id}))
    for number, (name, repo_id) in enumerate({"chat": "Org/Chat", "big": "org/big", "bigger": "org/big"}.items())
]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("chat", "chat"), ("CHAT", "chat"), ("org/chat", "chat"), ("Org/Chat:q8_0", "chat"), ("chat:Q8_0", "chat"),
     ("chat:Q4_1", None), ("org/none", None)],
)  # fmt: skip
def test_a_name_means_one_model_or_none(asked: str, meant: str | None) -> None:
    """A model is meant by its name, its repository in any case, and either with the quantisation that it serves."""
    found = model_meant(asked, ROWS, lambda row: "Q8_0")

    assert (found.model_name if found else None) == meant


def test_what_two_models_have_in_common_means_neither() -> None:
    """A repository of two models names both."""
    with pytest.raises(BadInput, match="org/big may be any of big, bigger"):
        model_meant("org/big", ROWS, lambda row: "")


def test_an_address_of_something_else_stays_as_it_is() -> None:
    """What isn't a model's address can't be shortened."""
    assert without_address("https://huggingface.co/datasets/org/data") == "https://huggingface.co/datasets/org/data"
