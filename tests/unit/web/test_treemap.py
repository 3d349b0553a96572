"""A treemap's areas are in proportion, and its cells lie beside each other."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.server.web.treemap import MOST_CELLS, TALL, WIDE, Frame, Rect, few, labels, split, squarify

WHOLE = Rect(0, 0, 100, 100)
SIZES = st.lists(st.integers(1, 10**12), min_size=1, max_size=60).map(lambda sizes: sorted(sizes, reverse=True))


@given(sizes=SIZES, frame=st.sampled_from([WIDE, TALL]))
def test_areas_are_in_proportion(sizes: list[int], frame: Frame) -> None:
    """Each size has its share of the area, and all of the area is taken."""
    places = squarify(sizes, WHOLE, frame)

    areas = [place.width * place.height / 100**2 for place in places]
    assert areas == pytest.approx([size / sum(sizes) for size in sizes], abs=1e-6)


@given(sizes=SIZES, frame=st.sampled_from([WIDE, TALL]))
def test_no_cell_lies_upon_another(sizes: list[int], frame: Frame) -> None:
    """All cells are inside the picture, and no two overlap."""
    places = squarify(sizes, WHOLE, frame)

    slack = 1e-6
    for place in places:
        assert place.x >= -slack
        assert place.y >= -slack
        assert place.x + place.width <= 100 + slack
        assert place.y + place.height <= 100 + slack
    for one, other in combinations(places, 2):
        across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
        down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
        assert across <= slack or down <= slack


def test_cells_are_about_square() -> None:
    """Of sizes that are alike no cell is a sliver."""
    frame = Frame(900, 300)
    for place in squarify([10, 9, 8, 8, 7, 7, 6, 5], WHOLE, frame):
        width, height = place.width * 9, place.height * 3
        assert max(width / height, height / width) < 4


def test_nothing_has_no_cells() -> None:
    """Without bytes there is nothing to draw."""
    assert squarify([], WHOLE, WIDE) == squarify([0], WHOLE, WIDE) == []


def test_a_picture_is_cut_across_its_long_side() -> None:
    """The second part is at the right of a wide picture, and at the bottom of a tall one."""
    assert split(WHOLE, 0.2, WIDE)[1] == Rect(80, 0, 20, 100)
    assert split(WHOLE, 0.2, TALL)[1] == Rect(0, 80, 100, 20)


def test_five_thousand_models_have_few_cells() -> None:
    """However many models there are, only the largest have cells of their own."""
    assert few([1] * 5000, 5000) == 0
    assert few([10**9] * 300, 300 * 10**9) <= MOST_CELLS


def test_text_that_does_not_fit_is_cut_or_left_out() -> None:
    """A name ends in an ellipsis where its cell is narrow, and a cell of a few pixels has none."""
    shown = labels("a-very-long-name-of-a-model", ["12.0 GB"], Rect(0, 0, 8, 50), WIDE)

    assert shown[0].text.endswith("…")
    assert labels("name", ["1 GB"], Rect(0, 0, 2, 2), WIDE) == []
