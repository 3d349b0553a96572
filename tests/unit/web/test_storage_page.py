"""The home page shows each tier with its limit, and warns in words."""

from __future__ import annotations

import pytest

from modelshelf.domain.eviction import Candidate, EvictionPlan
from modelshelf.server.web.bars import LIMIT_AT, bar_of
from modelshelf.server.web.room import room_sheet
from modelshelf.server.web.storage import StoragePage, storage_page
from modelshelf.server.web.words import NBSP
from tests.unit.web.looks import DAY_S, GB, NOW_S, job, look, row, tier


def page_of(*rows: object, **more: object) -> StoragePage:
    """Return the home page of a library."""
    return storage_page(look(*rows, **more), "", lambda one: (), [])


def test_a_bar_ends_at_what_is_held() -> None:
    """The parts of a bar lie beside each other, on a scale whose limit has its place."""
    held = {"models": 40 * GB, "partial": 5 * GB, "orphans": 3 * GB, "other": 2 * GB}
    bar = bar_of(tier(breakdown=held, reserved_bytes=10 * GB), 15 * GB, 0.9, "t1")

    assert [part.label for part in bar.segments] == ["models", "pinned", "partial", "orphans", "other", "reserved"]
    for one, following in zip(bar.segments, bar.segments[1:], strict=False):
        assert following.x == pytest.approx(one.x + one.width, abs=0.02)
    last = bar.segments[-1]
    assert last.x + last.width == pytest.approx(LIMIT_AT * 0.6, abs=0.05)
    assert bar.past is None


def test_a_small_part_can_be_seen() -> None:
    """A part of a few bytes keeps a width."""
    bar = bar_of(tier(breakdown={"models": 50 * GB, "other": 7}), 0, 0.9, "t1")

    assert bar.segments[-1].width >= 0.25


def test_what_is_past_the_limit_is_shown_past_it() -> None:
    """Usage above the limit begins at the limit line, stays in the picture, and is named."""
    bar = bar_of(tier(usage_bytes=103 * GB, breakdown={"models": 103 * GB}), 0, 0.9, "t1")

    assert bar.past is not None
    assert (bar.past.x, bar.past.x + bar.past.width <= 100) == (LIMIT_AT, True)
    assert "past the limit" in bar.label


def test_a_tier_without_a_limit_is_drawn_to_its_disk() -> None:
    """Without a limit the end of the bar is the disk's, and there is no warning line."""
    bar = bar_of(tier(limit_bytes=None, free_bytes=50 * GB), 0, 0.9, "t1")

    assert bar.segments[0].width == pytest.approx(LIMIT_AT / 2)
    assert (bar.has_limit, bar.warn_at) == (False, None)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, ""),
        ({"usage_bytes": 93 * GB, "warning": True}, f"Primary is 93{NBSP}% full."),
        ({"usage_bytes": 103 * GB, "warning": True}, f"Primary is 3.0{NBSP}GB past its limit."),
        ({"writable": False}, "Primary is read-only."),
        ({"breakdown": {"models": 1, "orphans": 5 * GB}}, f"5.0{NBSP}GB of orphans on Primary can go."),
    ],
    ids=["well", "nearly full", "past", "read-only", "orphans"],
)
def test_a_tier_has_at_most_one_note(facts: dict[str, object], says: str) -> None:
    """A note says what most needs a look; a tier that is well has none."""
    (shelf,) = page_of(tiers=[tier(**facts)]).shelves

    assert (shelf.note.what if shelf.note else "") == says


def test_a_tier_that_is_away_keeps_its_figures() -> None:
    """An offline tier says what it holds, isn't called empty, and isn't red."""
    away = tier("custom", cache_path="/mnt/usb", online=False, usage_bytes=0, breakdown={})
    page = page_of(row("m", cache_location="custom", cache_path="/mnt/usb"), tiers=[away])

    (shelf,) = page.shelves
    assert (shelf.note, shelf.bar) == (None, None)
    assert shelf.gone == f"1 model (10.0{NBSP}GB) stays registered and works again once it’s back"
    assert "1 tier is offline" in page.summary


def test_the_map_has_all_models_of_its_tier_and_no_more() -> None:
    """Every model of the tier is in the treemap, largest first, coloured by its last use."""
    used = {"new": 1, "older": 20, "old": 60, "oldest": 200}
    rows = [row(name, last_used_at=NOW_S - days * DAY_S) for name, days in used.items()]
    page = page_of(*rows, row("elsewhere", cache_path="/secondary", cache_location="secondary"))

    assert page.map is not None
    wide, tall = page.map.pictures
    cells = {cell.path.removeprefix("/models/"): cell.css for cell in wide.cells if cell.path}
    assert cells == {"new": "u0", "older": "u1", "old": "u2", "oldest": "u3"}
    assert len(tall.cells) == len(wide.cells)


def test_five_thousand_models_are_few_cells() -> None:
    """A tier of 5,000 models has at most 150 cells, one of which stands for the smaller ones."""
    rows = [row(f"m{number}", size_bytes=number + 1) for number in range(5000)]
    page = page_of(*rows)

    assert page.map is not None
    cells = page.map.pictures[0].cells
    assert len(cells) <= 150
    assert sum("smaller models" in cell.title for cell in cells) == 1


def test_headroom_that_is_drawn_smaller_says_so() -> None:
    """On an almost empty tier headroom isn't most of the picture, and keeps its figure."""
    page = page_of(row("m", size_bytes=1 * GB), tiers=[tier(usage_bytes=1 * GB, breakdown={"models": 1 * GB})])

    assert page.map is not None
    assert not page.map.is_scaled
    (room,) = [cell for cell in page.map.pictures[0].cells if cell.css == "uf"]
    assert room.title == f"headroom 99.0{NBSP}GB, drawn smaller than it is"
    assert [label.text for label in room.labels] == ["headroom", f"99.0{NBSP}GB", "not to scale"]


def test_only_who_may_leave_is_next() -> None:
    """Pinned, used and busy models aren't listed as the next to be evicted."""
    found = [
        Candidate("pinned", 1, GB, 0, 0, pinned=True),
        Candidate("leased", 2, GB, 1, 0, leased=True),
        Candidate("busy", 3, GB, 2, 0, busy=True),
        Candidate("cold", 4, GB, 3, 0),
    ]

    page = storage_page(look(), "", lambda one: (), found)

    assert [one.name for one in page.next] == ["cold"]


def test_a_model_that_was_never_used_says_when_it_came() -> None:
    """The arrival of a model that was never used is called that, and counts in its colour; else the last use does."""
    hour_ago = NOW_S - 3600
    new = row("new", arrived_at=hour_ago, last_used_at=None)
    moved = row("moved", arrived_at=hour_ago, last_used_at=NOW_S - 100 * DAY_S)
    found = [Candidate("new", 1, GB, hour_ago, hour_ago), Candidate("moved", 2, GB, NOW_S - 100 * DAY_S, hour_ago)]

    page = storage_page(look(new, moved), "", lambda one: (), found)
    sheet = room_sheet(look(new, moved), tier(), "1 GB", EvictionPlan(tuple(found), 2 * GB, GB, GB))

    said = [f"never used, came 1{NBSP}h ago", f"used 100{NBSP}days ago"]
    assert [one.used for one in page.next] == said
    assert [step.small for step in sheet.parts[0].steps] == said
    assert page.map is not None
    cells = {cell.title.partition(",")[0]: cell for cell in page.map.pictures[0].cells}
    assert [cells[name].title.endswith(used) for name, used in zip(("new", "moved"), said, strict=True)] == [True, True]
    assert (cells["new"].css, cells["moved"].css) == ("u0", "u3")


def test_what_flows_is_told_without_guesses() -> None:
    """A running pull has its rate and the time left; a stalled one says 0 B/s and no estimate."""
    one = row("m")
    runs, stalls = job(model_id=one.id), job(id=2, model_id=one.id, rate_bytes_per_s=0)

    (fast, slow) = page_of(one, jobs=[runs, stalls]).shelves[0].flows

    assert (fast.text, fast.behind) == (f"downloading, 40{NBSP}%", f"1.0{NBSP}GB/s · about 6.0{NBSP}s left")
    assert (slow.icon, slow.text, slow.behind) == ("warn", f"stalled at 40{NBSP}%", f"0{NBSP}B/s, no estimate")
