"""Which models are listed, and in which order."""

from __future__ import annotations

import pytest

from modelshelf.domain.listing import Order, order_of
from modelshelf.errors import BadInput


def test_an_order_is_one_of_three_words() -> None:
    """An unknown order is refused, and the error names the three."""
    assert [order_of(word) for word in ("name", "size", "used")] == list(Order)
    with pytest.raises(BadInput, match="can't be sorted by 'age'") as refused:
        order_of("age")

    assert refused.value.hint == "Sort by name, size or used."
