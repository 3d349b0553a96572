"""The table of models: what is searched, in which order, and what needs care first."""

from __future__ import annotations

import pytest

from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.models import ModelRow
from modelshelf.domain.serving import EngineState, EngineStatus
from modelshelf.server.web.models_page import MOST_PAGES, PAGE, ModelsPage, Wish, models_page
from tests.unit.web.looks import DAY_S, GB, NOW_S, at, look, row, tier


def page_of(wish: Wish, *rows: ModelRow, engines: tuple[EngineStatus, ...] = ()) -> ModelsPage:
    """Return the table of a library."""
    tiers = [tier(), tier("secondary"), tier("custom", cache_path="/usb", online=False)]
    return models_page(look(*rows, tiers=tiers), wish, at, engines)


def names(page: ModelsPage) -> list[str]:
    """Return the names in the table, from top to bottom."""
    return [one.name for group in page.groups for one in group.rows]


ROWS = (
    row("a", size_bytes=1 * GB, uses=9, last_used_at=NOW_S - 100 * DAY_S),
    row("b", size_bytes=3 * GB, uses=1, last_used_at=NOW_S - DAY_S, pinned=True),
    row("c", size_bytes=2 * GB, uses=5, last_used_at=None, cache_location="secondary", cache_path="/secondary"),
)


@pytest.mark.parametrize(
    ("sort", "order"),
    [("name", "abc"), ("size", "bca"), ("used", "bac"), ("uses", "acb"), ("tier", "abc"), ("nonsense", "abc")],
)
def test_the_table_is_sorted(sort: str, order: str) -> None:
    """Models are in the chosen order; an unknown one is by name."""
    page = page_of(Wish(sort=sort), *ROWS)

    assert names(page) == list(order)


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        (Wish(text="ORG/B"), "b"),
        (Wish(text="q4_k"), "abc"),
        (Wish(tier="secondary"), "c"),
        (Wish(state="pinned"), "b"),
        (Wish(state="incomplete"), ""),
        (Wish(used="7"), "b"),
        (Wish(used="-90"), "ac"),
        (Wish(text="<script>"), ""),
    ],
)
def test_the_table_is_filtered(wish: Wish, found: str) -> None:
    """Text, tier, state and last use leave out what doesn't match."""
    assert sorted(names(page_of(wish, *ROWS))) == list(found)


def test_what_needs_care_is_first() -> None:
    """Incomplete models stand before all others and those of an absent drive behind them, whatever the order."""
    rows = (
        row("a-whole"),
        row("z-broken", complete=False, size_bytes=1),
        row("away", cache_location="custom", cache_path="/usb", size_bytes=99 * GB),
    )
    for sort in ("name", "size", "used"):
        assert names(page_of(Wish(sort=sort), *rows)) == ["z-broken", "a-whole", "away"]


def test_many_models_are_shown_in_pages() -> None:
    """A page has forty models and leads to its neighbours, with the filter kept; behind the last is the last."""
    rows = [row(f"m{number:04}", id=number) for number in range(PAGE * 2 + 1)]
    first, last = (page_of(Wish(text="m", sort="name", page=page), *rows) for page in (1, 99))

    assert (len(names(first)), first.first, first.last, first.earlier) == (PAGE, 1, PAGE, "")
    assert first.later == "/models?q=m&sort=name&page=2"
    assert (names(last), last.later, last.earlier) == ([f"m{PAGE * 2:04}"], "", "/models?q=m&sort=name&page=2")


def test_several_pages_are_shown_as_one() -> None:
    """What a person scrolled to is shown from its first row on, and leads to the page behind it; not without end."""
    rows = [row(f"m{number:04}", id=number) for number in range(PAGE * (MOST_PAGES + 2))]
    some, most = (page_of(Wish(sort="name", page=2, pages=pages), *rows) for pages in (2, 10**6))

    assert (some.first, some.last, some.earlier) == (PAGE + 1, PAGE * 3, "/models?sort=name&page=1")
    assert some.later == "/models?sort=name&page=4"
    assert len(names(most)) == PAGE * MOST_PAGES


def test_a_model_in_memory_says_so() -> None:
    """A ready engine's model is loaded; one that answers is answering."""
    status = EngineStatus(ROWS[0].model_name, EngineKind.GENERATE, EngineState.READY, "llama", 1, 0, 0, 60)
    busy = EngineStatus(ROWS[1].model_name, EngineKind.GENERATE, EngineState.READY, "llama", 1, 2, 0, 60)
    page = page_of(Wish(sort="name"), *ROWS, engines=(status, busy))

    assert [one.state.text for group in page.groups for one in group.rows] == ["loaded", "answering", "ready"]


def test_an_address_says_what_is_shown() -> None:
    """The address of a wish has what differs from the usual, escaped."""
    assert Wish().path() == "/models"
    assert Wish(text="a&b", tier="/mnt/x y").path(sort="size") == "/models?q=a%26b&tier=%2Fmnt%2Fx+y&sort=size"
