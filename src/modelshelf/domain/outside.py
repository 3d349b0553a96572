"""Parsers of JSON that somebody else wrote: a drive, a job's row, a request. Their results can be relied on.

Every failure is a BadInput, as in `domain.names`: a reader catches one class, leaves the value out and names it.

>>> object_of(parse_json('{"size": 1}'), "size"), size_of(7), text_of("main")
({'size': 1}, 7, 'main')
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeGuard, TypeVar

from modelshelf.errors import BadInput

SIZE_END = 2**63
"""Sizes and ids are below this: a database has 64 bits for them."""

_T = TypeVar("_T")


def parse_json(text: str) -> object:
    """Return the value of a JSON text.

    Raises:
        BadInput: It isn't JSON, has a key twice, NaN or Infinity, or nests too deep.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as err:
        raise BadInput(f"It isn't JSON: {err!s:.80}.") from err


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has the same key twice")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} isn't a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def object_of(value: object, *keys: str) -> dict[str, object]:
    """Return a JSON object that has these keys.

    Raises:
        BadInput: It isn't one, or lacks one of them.
    """
    if not isinstance(value, dict):
        raise BadInput(f"{value!r:.80} isn't an object.")
    for key in keys:
        if key not in value:
            raise BadInput(f"It has no {key!r}.")
    return value


def list_of(value: object, parse: Callable[[object], _T]) -> tuple[_T, ...]:
    """Return a JSON list with each element parsed.

    Raises:
        BadInput: It isn't one, or an element isn't what it should be.
    """
    if not isinstance(value, list):
        raise BadInput(f"{value!r:.80} isn't a list.")
    return tuple(parse(element) for element in value)


def text_of(value: object, most_chars: int = 4096) -> str:
    """Return a text for people.

    Raises:
        BadInput: It isn't one, is too long, or holds half a character (a lone surrogate).
    """
    if not isinstance(value, str) or len(value) > most_chars or not (value.isascii() or _is_whole(value)):
        raise BadInput(f"{value!r:.80} isn't a text of at most {most_chars} characters.")
    return value


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def flag_of(value: object) -> bool:
    """Return true or false.

    Raises:
        BadInput: It is neither.
    """
    if not isinstance(value, bool):
        raise BadInput(f"{value!r:.80} is neither true nor false.")
    return value


def size_of(value: object) -> int:
    """Return a size in bytes: not negative, below 2^63.

    Raises:
        BadInput: It isn't one.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < SIZE_END:
        raise BadInput(f"{value!r:.80} isn't a size.")
    return value


def sizes_of(values: Sequence[object]) -> list[int]:
    """Return sizes in bytes. It judges them as one, which takes a third of the time; raises as `size_of` for each."""
    if _are_integers(values) and values and min(values) >= 0 and max(values) < SIZE_END:
        return list(values)
    return [size_of(value) for value in values]


def _are_integers(values: Sequence[object]) -> TypeGuard[Sequence[int]]:
    return set(map(type, values)) <= {int}


def int_of(value: object) -> int:
    """Return an integer of 64 bits, signed or unsigned.

    Raises:
        BadInput: It isn't one.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not -SIZE_END <= value < 2 * SIZE_END:
        raise BadInput(f"{value!r:.80} isn't a number of 64 bits.")
    return value


def number_of(value: object) -> float:
    """Return a number, not negative.

    Raises:
        BadInput: It isn't one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < SIZE_END:
        raise BadInput(f"{value!r:.80} isn't a number from 0 on.")
    return float(value)


def maybe(value: object, parse: Callable[[object], _T]) -> _T | None:
    """Return a parsed value, or None if it is null.

    Raises:
        BadInput: It is neither null nor what it should be.
    """
    return None if value is None else parse(value)


def sequence_of(value: object, count: int) -> list[object]:
    """Return a JSON list with this many elements.

    Raises:
        BadInput: It isn't one.
    """
    if not isinstance(value, list) or len(value) != count:
        raise BadInput(f"{value!r:.80} isn't a list of {count}.")
    return value
