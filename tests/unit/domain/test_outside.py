"""Parsing JSON that somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.outside import (
    flag_of,
    int_of,
    list_of,
    maybe,
    number_of,
    object_of,
    parse_json,
    sequence_of,
    size_of,
    sizes_of,
    text_of,
)
from modelshelf.errors import BadInput

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"a":' * 100_000, "NaN", "[Infinity]", "-Infinity", '{"a": 1, "a": 2}', "1" * 5000],
    ids=["empty", "torn", "deep list", "deep object", "nan", "infinity", "minus infinity", "twice", "endless number"],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    """JSON that nests too deep, repeats a key or holds an invalid number is bad input, never another error."""
    with pytest.raises(BadInput):
        parse_json(text)


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        (object_of, []),
        (lambda value: object_of(value, "b"), {"a": 1}),
        (lambda value: list_of(value, size_of), {}),
        (lambda value: list_of(value, size_of), [1, "1"]),
        (text_of, 1),
        (text_of, "x" * 4097),
        (text_of, "\ud800"),
        (flag_of, 1),
        (flag_of, "true"),
        (size_of, -1),
        (size_of, 2**63),
        (size_of, True),
        (size_of, 1.0),
        (size_of, "1"),
        (sizes_of, [1, -1]),
        (sizes_of, [2**63, 1]),
        (sizes_of, [1, True]),
        (sizes_of, [1, "1"]),
        (int_of, 2**64),
        (int_of, -(2**63) - 1),
        (int_of, False),
        (int_of, "1"),
        (number_of, -0.5),
        (number_of, True),
        (number_of, "1"),
        (number_of, float("nan")),
        (number_of, float("inf")),
        (lambda value: maybe(value, size_of), -1),
        (lambda value: sequence_of(value, 2), [1]),
        (lambda value: sequence_of(value, 2), "ab"),
    ],
)
def test_another_shape_is_refused(parse: Callable[[object], object], value: object) -> None:
    """A value of the wrong type or out of bounds is bad input."""
    with pytest.raises(BadInput):
        parse(value)


@given(VALUES)
def test_any_value_is_taken_as_it_is_or_refused(value: object) -> None:
    """A parser returns the value itself or refuses it."""
    every: list[Callable[[object], object]] = [object_of, text_of, flag_of, size_of, int_of]
    every += [lambda found: list(list_of(found, lambda one: one)), lambda found: sequence_of(found, 2)]
    for parse in every:
        try:
            assert parse(value) == value
        except BadInput:
            continue


@pytest.mark.parametrize("sizes", [[], [0], [7, 0, 2**63 - 1]], ids=["none", "one", "several"])
def test_many_sizes_are_read_as_each_alone(sizes: list[int]) -> None:
    """Sizes that are read together come out as each does alone."""
    assert sizes_of(sizes) == [size_of(size) for size in sizes] == sizes
