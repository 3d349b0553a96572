"""Which mirrored models leave for another one."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.mirror import leaving
from modelshelf.domain.models import ModelRow

SIZES = st.lists(st.integers(0, 50), max_size=8)


def row(number: int, size_bytes: int, arrived_at: float, last_used_at: float | None = None) -> ModelRow:
    """Return a mirrored model."""
    blank: dict[str, Any] = {field.name: "" for field in dataclasses.fields(ModelRow)}
    facts = {"id": number, "size_bytes": size_bytes, "arrived_at": arrived_at, "last_used_at": last_used_at}
    return ModelRow(**(blank | facts | {"mirrored": "open"}))


def test_what_was_used_longest_ago_leaves_first() -> None:
    """A model leaves by its last use, or by its arrival if it had none; none leaves that isn't needed."""
    rows = [row(1, 10, arrived_at=5), row(2, 10, arrived_at=1, last_used_at=9), row(3, 10, arrived_at=2)]

    assert [one.id for one in leaving(15, rows) or ()] == [3, 1]
    assert leaving(0, rows) == []
    assert leaving(31, rows) is None


def test_no_more_is_asked_than_needed() -> None:
    """Whether one may leave is asked in order, until there is enough: it costs a question to the hub."""
    asked: list[int] = []
    rows = [row(number, 10, arrived_at=9 - number) for number in range(5)] + [row(7, 0, arrived_at=0)]

    def may_leave(one: ModelRow) -> bool:
        asked.append(one.id)
        return one.id != 4

    assert [one.id for one in leaving(15, rows, may_leave) or ()] == [3, 2]
    assert asked == [4, 3, 2]


@given(st.integers(-5, 200), SIZES)
def test_enough_leaves_or_none(over_bytes: int, sizes: list[int]) -> None:
    """What leaves is enough, and without the last of it it wouldn't be; if all isn't enough, nothing leaves."""
    chosen = leaving(over_bytes, [row(i, size, arrived_at=i) for i, size in enumerate(sizes)])

    if chosen is None:
        assert sum(sizes) < over_bytes
    else:
        assert sum(one.size_bytes for one in chosen) >= over_bytes
        assert not chosen or sum(one.size_bytes for one in chosen[:-1]) < over_bytes
