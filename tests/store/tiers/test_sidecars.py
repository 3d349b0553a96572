"""What is written beside a model's bytes, so that a lost registry can be rebuilt."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import ModelName
from modelshelf.domain.sidecars import Card
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import sidecars
from tests.builders import commit, put

FILES = (FileEntry("a.gguf", 5, "a" * 64), FileEntry("b.gguf", 7, "b" * 64))
CARD = Card("qwen", "Qwen/Qwen2.5-3B", "main", commit("a"), ("a.*",), True, "demo", FILES, "/mnt/slow")


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A base without a card."""
    return Base(tmp_path)


def test_a_card_is_read_as_it_was_written(base: Base) -> None:
    """Cards come by name, with every word that a person said."""
    whole = dataclasses.replace(CARD, model_name="a-model", arriving_from=None, pinned=False)
    for card in (CARD, whole):
        sidecars.write(base, card)

    assert sidecars.read_all(base) == [whole, CARD]


def test_where_there_is_none_there_are_none(base: Base) -> None:
    """A base that was never used has no cards, and removing one frees nothing."""
    assert sidecars.read_all(base) == []
    assert sidecars.remove(base, "qwen").apparent_bytes == 0


def test_the_same_card_is_not_written_again(base: Base) -> None:
    """Another one is."""
    sidecars.write(base, CARD)
    before = base.card("qwen").stat().st_ino
    sidecars.write(base, CARD)
    assert base.card("qwen").stat().st_ino == before

    sidecars.write(base, dataclasses.replace(CARD, pin_reason="other"))

    assert [card.pin_reason for card in sidecars.read_all(base)] == ["other"]


def test_a_card_goes_with_its_model(base: Base) -> None:
    """What that freed is measured."""
    sidecars.write(base, CARD)

    assert sidecars.remove(base, "qwen").apparent_bytes > 100
    assert sidecars.read_all(base) == []


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"files": 3}'])
def test_a_card_that_cannot_be_understood_is_left_out(base: Base, text: bytes) -> None:
    """The others are read all the same."""
    sidecars.write(base, CARD)
    put(base.card("broken"), text)

    assert sidecars.read_all(base) == [CARD]


def test_a_card_knows_the_models_own_files(base: Base) -> None:
    """The patterns select them, and two cards of the same files are of one model whatever it is called."""
    assert CARD.selected == [FILES[0]]
    assert CARD.is_of(dataclasses.replace(CARD, model_name="other", pinned=False))
    assert not CARD.is_of(dataclasses.replace(CARD, allow_patterns=()))


def test_a_card_holds_its_snapshot_by_a_ref(base: Base) -> None:
    """The ref comes when the snapshot is there, follows the model's commit, and goes with the card."""
    repo = base.repo(CARD.hf_path)
    arrived = dataclasses.replace(CARD, arriving_from=None)
    sidecars.write(base, arrived)
    assert scan.refs(repo) == {}

    repo.snapshot(commit("a")).mkdir(parents=True)
    sidecars.write(base, CARD)
    assert scan.refs(repo) == {}
    sidecars.write(base, arrived)
    assert scan.refs(repo) == {"refs/shelf/qwen": commit("a")}

    sidecars.remove(base, ModelName("qwen"))
    assert not repo.refs.joinpath("refs").exists()
