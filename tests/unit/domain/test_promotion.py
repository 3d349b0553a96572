"""Promotion: when a model that was loaded from the slow disk moves to the fast one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.eviction import Candidate
from modelshelf.domain.promotion import WINDOW_S, PromotionDecision, should_promote
from modelshelf.domain.tiers import PromoteMode, Room
from modelshelf.domain.watermarks import Watermarks
from modelshelf.units import GB

NOW_S = 10_000_000.0
HOUR_S = 3600.0
MARKS = Watermarks()


def room(usage: int, *, disk_free: int = 1000) -> Room:
    """Return the numbers of a primary of 100 GB, given in GB."""
    return Room(100 * GB, usage * GB, 0, disk_free * GB, 0)


def model(name: str, size: int, used_hours_ago: float, **facts: object) -> Candidate:
    """Return a placement of `size` GB on the primary that arrived long ago."""
    used_s = NOW_S - used_hours_ago * HOUR_S
    return Candidate(name, ord(name), size * GB, used_s, arrived_at=0.0, **facts)


def decide(
    mode: PromoteMode, used_hours_ago: list[float], *candidates: Candidate, size: int = 30, **options: object
) -> PromotionDecision:
    """Return the decision about a model of `size` GB on a primary with only these candidates."""
    held = options.pop("held", room(sum(c.free_bytes for c in candidates) // GB))
    uses_at = [NOW_S - hours * HOUR_S for hours in used_hours_ago]
    return should_promote(mode, uses_at, NOW_S, size * GB, held, candidates, MARKS, **options)


def test_never_promotes_nothing() -> None:
    """With `never`, even a model that fits and is used all the time stays."""
    assert decide("never", [1, 2, 3]) == PromotionDecision(False, "PROMOTE is never.", 0, None)


@pytest.mark.parametrize(
    ("used_hours_ago", "promote"),
    [
        ([], False),
        ([7 * 24 + 1], False),
        ([7 * 24], True),
        ([400, 1], True),
        ([1, 400], True),
        ([0], False),
        ([-5], False),
    ],
    ids=["never", "too long ago", "just within", "again", "in any order", "the present load itself", "in the future"],
)
def test_auto_waits_for_the_second_load_within_seven_days(used_hours_ago: list[float], promote: bool) -> None:
    """With `auto`, a model is promoted if it was used before within the window; the present load doesn't count."""
    assert WINDOW_S == 7 * 24 * HOUR_S
    assert decide("auto", used_hours_ago).promote is promote


def test_what_fits_costs_its_own_bytes() -> None:
    """Where there is room, the cost is the bytes that are written to the primary."""
    decision = decide("auto", [1])

    assert (decision.promote, decision.why, decision.cost_bytes) == (True, "It fits.", 30 * GB)
    assert decision.eviction is not None
    assert decision.eviction.victims == ()


def test_auto_pushes_out_what_is_colder() -> None:
    """A model last used before this one's previous use is pushed out, and its move is part of the cost."""
    decision = decide("auto", [5], model("a", 40, 6), model("b", 50, 1))

    assert decision.promote
    assert decision.why == "It fits if 40.0 GB are evicted that were used less recently: a."
    assert decision.cost_bytes == 70 * GB
    assert decision.eviction is not None
    assert [victim.model_name for victim in decision.eviction.victims] == ["a"]


@pytest.mark.parametrize("used_hours_ago", [4, 5], ids=["later", "at the same time"])
def test_auto_spares_what_is_as_hot(used_hours_ago: float) -> None:
    """A model used since this one's previous use stays, and the decision names it."""
    decision = decide("auto", [5], model("a", 90, used_hours_ago))

    assert decision == PromotionDecision(False, "It would evict models that were used more recently: a.", 0, None)


def test_auto_names_the_hotter_ones_alone() -> None:
    """Of the models that would have to leave, only hotter ones are named as the reason."""
    decision = decide("auto", [5], model("a", 10, 6), model("b", 30, 1), model("c", 50, 9, pinned=True))

    assert decision.why == "It would evict models that were used more recently: b."


def test_auto_stops_at_the_limit_where_the_low_watermark_would_cost_a_hotter_model() -> None:
    """If evicting colder models reaches the limit, no hotter one leaves for the low watermark."""
    decision = decide("auto", [5], model("a", 25, 6), model("b", 70, 1))

    assert decision.eviction is not None
    assert [victim.model_name for victim in decision.eviction.victims] == ["a"]
    assert decision.eviction.target_bytes == 25 * GB


def test_always_pushes_out_what_is_hotter() -> None:
    """With `always` the first load is enough, whatever has to leave."""
    decision = decide("always", [], model("a", 90, 1))

    assert (decision.promote, decision.cost_bytes) == (True, 120 * GB)


def test_always_counts_previous_uses_for_nothing() -> None:
    """With `always`, a model that was used before pushes out hotter ones too."""
    assert decide("always", [5], model("a", 90, 1)).promote


@pytest.mark.parametrize("mode", ["auto", "always"])
@pytest.mark.parametrize(
    ("facts", "words"),
    [({"pinned": True}, "pinned"), ({"leased": True}, "in use"), ({"busy": True}, "a job is working on it")],
    ids=["pinned", "leased", "busy"],
)
def test_nothing_that_must_stay_makes_way(mode: PromoteMode, facts: dict[str, object], words: str) -> None:
    """If a model can't leave, the other stays where it is, and the decision says why."""
    decision = decide(mode, [5], model("a", 90, 6, **facts))

    assert not decision.promote
    assert f"a (90.0 GB, {words})" in decision.why


def test_what_arrived_within_the_minimum_stay_does_not_make_way() -> None:
    """A model promoted an hour ago isn't pushed out, even if it is colder."""
    young = Candidate("a", 1, 90 * GB, last_used_at=0.0, arrived_at=NOW_S - HOUR_S)

    assert "a (90.0 GB, arrived less than 24 h 0 min ago)" in decide("auto", [5], young).why


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_a_model_larger_than_the_primary_stays(mode: PromoteMode) -> None:
    """A model larger than the primary isn't promoted and moves nothing."""
    decision = decide(mode, [5], model("a", 90, 6), size=140)

    assert (decision.promote, decision.cost_bytes) == (False, 0)
    assert "may hold 100.0 GB in all" in decision.why


def test_a_full_disk_that_both_tiers_share_promotes_nothing() -> None:
    """If both tiers share a full disk, a promotion that the disk can't take is refused."""
    held = room(50, disk_free=10)

    assert decide("auto", [5], model("a", 50, 6), held=held).promote
    assert not decide("auto", [5], model("a", 50, 6), held=held, same_disk=True).promote


def test_a_protected_model_is_not_pushed_out() -> None:
    """A caller can protect a model from being pushed out."""
    assert not decide("auto", [5], model("a", 90, 6), protect={ord("a")}).promote


hours = st.integers(0, 300).map(float)
placements = st.lists(
    st.builds(model, st.sampled_from("abcdefgh"), st.integers(1, 40), hours, pinned=st.booleans()),
    max_size=6,
    unique_by=lambda candidate: candidate.model_id,
)


@given(st.lists(hours, max_size=4), placements, st.integers(1, 110))
def test_auto_never_pushes_out_a_hotter_model(used: list[float], candidates: list[Candidate], size: int) -> None:
    """What `auto` pushes out is unpinned and was last used before the promoted model's previous use."""
    decision = decide("auto", used, *candidates, size=size)
    if decision.eviction is None:
        assert not decision.promote
        return

    previous_s = NOW_S - min(ago for ago in used if ago > 0) * HOUR_S
    assert all(v.last_used_at < previous_s and not v.pinned for v in decision.eviction.victims)
    assert decision.cost_bytes == size * GB + decision.eviction.free_bytes


@given(st.lists(hours, max_size=4), placements, st.integers(1, 110))
def test_always_promotes_whatever_auto_does(used: list[float], candidates: list[Candidate], size: int) -> None:
    """What `auto` promotes, `always` promotes."""
    auto, always = (decide(mode, used, *candidates, size=size) for mode in ("auto", "always"))

    assert always.promote or not auto.promote
