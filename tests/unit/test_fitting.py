"""Names, sentences and columns fitted to a line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelshelf.cli.fitting import cells, columns, fit, fold, shorten

TEXTS = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), max_size=120)
SIGNS = st.text(st.sampled_from("ab/-é你好🎉"), max_size=60)


def test_a_long_name_keeps_both_ends() -> None:
    """A shortened name keeps its beginning and its end, because these tell names apart."""
    assert shorten("models--HuggingFaceTB--SmolLM2", 15) == "models-…SmolLM2"
    assert shorten("short", 15) == "short"


@given(SIGNS, st.integers(7, 60))
def test_a_shortened_name_fits(name: str, most: int) -> None:
    """A letter that takes two cells counts as two."""
    assert cells(shorten(name, most)) <= most


@given(st.lists(SIGNS.filter(bool), max_size=20).map(" ".join), st.integers(20, 80))
def test_a_folded_sentence_fits_and_keeps_its_words(sentence: str, most: int) -> None:
    """Every line of a folded sentence fits, and every word that fits a line is kept in order."""
    lines = fold(sentence, most)

    assert [line for line in lines if cells(line) > most] == []
    assert " ".join(lines) == " ".join(shorten(word, most) for word in sentence.split(" "))


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.sets(st.integers(0, 7)), st.integers(20, 200))
def test_the_widest_columns_are_narrowed_first(widths: list[int], fixed: set[int], most: int) -> None:
    """Numbers keep their width, and no column gets narrower than one that stays wider."""
    kept = {at for at in fixed if at < len(widths)}
    given_ = fit(widths, kept, most)

    narrowed = [width for at, width in enumerate(given_) if width < widths[at]]
    assert [given_[at] for at in kept] == [widths[at] for at in kept]
    assert len(set(narrowed)) <= 1
    assert all(given_[at] <= max(narrowed, default=100) for at in range(len(widths)) if at not in kept)
    assert sum(given_) <= most or min(narrowed, default=0) <= 7


def test_sentences_leave_a_table_that_is_too_wide() -> None:
    """In a table that is too wide, sentences go below, and the other columns share the line."""
    rows = [["NAME", "WHY"], ["model", "a sentence of some length"]]

    assert columns(rows, frozenset(), frozenset({1}), 2, None) == {0: 5, 1: 25}
    assert columns(rows, frozenset(), frozenset({1}), 2, 32) == {0: 5, 1: 25}
    assert columns(rows, frozenset(), frozenset({1}), 2, 31) == {0: 5}


def test_a_spare_column_leaves_where_names_would_say_too_little() -> None:
    """A narrow table leaves out a spare column rather than shorten names until nobody can tell them apart."""
    rows = [["NAME", "REPO"], ["n" * 30, "r" * 30]]

    assert columns(rows, frozenset(), frozenset(), 2, 62, frozenset({1})) == {0: 30, 1: 30}
    assert columns(rows, frozenset(), frozenset(), 2, 34, frozenset({1})) == {0: 16, 1: 16}
    assert columns(rows, frozenset(), frozenset(), 2, 33, frozenset({1})) == {0: 30}


def test_a_very_narrow_table_leaves_out_one_column_after_the_other() -> None:
    """Columns are left out in the order that is given, and no more of them than the line needs."""
    rows = [["NAME", "FORMAT", "TIER", "SIZE"], ["n" * 9, "f" * 9, "t" * 9, "s" * 9]]
    kept = {most: list(columns(rows, frozenset({3}), frozenset(), 2, most, narrow=(1, 2))) for most in (36, 35, 26, 19)}

    assert kept == {36: [0, 1, 2, 3], 35: [0, 2, 3], 26: [0, 3], 19: [0, 3]}
