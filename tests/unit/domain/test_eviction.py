"""Making room: what is evicted, what stays, and the error when nothing can go."""

from __future__ import annotations

import random
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.eviction import Candidate, EvictionPlan, is_enough, leaving_first, plan_deletion, plan_eviction
from modelshelf.domain.tiers import Room
from modelshelf.domain.watermarks import Watermarks
from modelshelf.errors import BadInput, Conflict, OutOfSpace, ShelfError
from modelshelf.units import GB

NOW_S = 1_000_000.0
OLD_S = 0.0


def room(usage: int, limit: int | None = 100, *, reserved: int = 0, disk_free: int = 1000) -> Room:
    """Return a tier's numbers, given in GB."""
    return Room(limit and limit * GB, usage * GB, reserved * GB, disk_free * GB, reserved * GB)


def model(name: str, size: int, used_s: float = 0.0, **facts: object) -> Candidate:
    """Return a placement of `size` GB that arrived long ago."""
    values: dict[str, object] = {"last_used_at": used_s, "arrived_at": OLD_S, "on_hub": True}
    return Candidate(name, sum(name.encode()), size * GB, **(values | facts))


def names(plan: EvictionPlan) -> list[str]:
    """Return the victims' names, in order."""
    return [victim.model_name for victim in plan.victims]


def refusal(*arguments: object, **options: object) -> ShelfError:
    """Return the error that `plan_eviction` raises."""
    with pytest.raises(ShelfError) as caught:
        plan_eviction(*arguments, **options)
    return caught.value


def test_what_fits_moves_nothing() -> None:
    """A need that just reaches the limit gives a plan without victims."""
    plan = plan_eviction(20 * GB, room(70, reserved=10), [model("a", 70)], Watermarks(), NOW_S)

    assert plan == EvictionPlan((), 0, 20 * GB, 0)


def test_one_byte_over_the_limit_makes_room_down_to_the_low_watermark() -> None:
    """A need that exceeds the limit by one byte frees everything above the low watermark, the need included."""
    plan = plan_eviction(20 * GB + 1, room(80), [model("a", 20, 1), model("b", 20, 2)], Watermarks(), NOW_S)

    assert (names(plan), plan.target_bytes, plan.free_bytes) == (["a"], 15 * GB + 1, 20 * GB)


def test_reservations_count_as_usage() -> None:
    """Bytes reserved for others count as used."""
    plan = plan_eviction(10 * GB, room(80, reserved=15), [model("a", 20)], Watermarks(), NOW_S)

    assert plan.target_bytes == 20 * GB


def test_no_placement_is_enough_for_what_the_limit_cannot_hold() -> None:
    """More than a tier may hold at all is refused whatever leaves, so that nothing more has to be looked at."""
    assert is_enough(200 * GB, room(90), [], marks=Watermarks(), now_s=NOW_S)
    assert not is_enough(20 * GB, room(90), [], marks=Watermarks(), now_s=NOW_S)


def test_the_limit_is_enough_where_the_low_watermark_is_out_of_reach() -> None:
    """When all candidates together don't reach the low watermark, only what the limit needs leaves."""
    plan = plan_eviction(20 * GB, room(90), [model("a", 10, 1), model("b", 4, 2)], Watermarks(), NOW_S)

    assert (names(plan), plan.target_bytes) == (["a"], 10 * GB)


def test_a_lower_high_watermark_makes_room_earlier() -> None:
    """Room is made when the high watermark is passed, even below the limit."""
    plan = plan_eviction(1 * GB, room(90), [model("a", 10)], Watermarks(high=0.9), NOW_S)

    assert (names(plan), plan.target_bytes) == (["a"], 6 * GB)


def test_only_the_limit_refuses() -> None:
    """A need above the high watermark and below the limit fits, even when nothing can leave."""
    plan = plan_eviction(1 * GB, room(90), [model("a", 90, pinned=True)], Watermarks(high=0.9), NOW_S)

    assert plan == EvictionPlan((), 0, 1 * GB, 0)


def test_the_high_watermark_is_taken_where_the_low_one_is_out_of_reach() -> None:
    """If the low watermark is out of reach, room is made down to the high one."""
    plan = plan_eviction(1 * GB, room(90), [model("a", 2), model("b", 1)], Watermarks(high=0.9), NOW_S)

    assert (names(plan), plan.target_bytes) == (["a"], 1 * GB)


def test_a_limit_that_was_lowered_is_reached_again() -> None:
    """A need of zero brings usage back under a limit that was lowered."""
    plan = plan_eviction(0, room(120), [model("a", 20, 1), model("b", 40, 2), model("c", 60, 3)], Watermarks(), NOW_S)

    assert (names(plan), plan.free_bytes) == (["b"], 40 * GB)


def test_the_least_recently_used_leave_first() -> None:
    """Victims leave in order of last use, whatever their size or time on the tier."""
    models = [model("new", 30, 30), model("old", 30, 10), model("mid", 30, 20, arrived_at=-5.0)]
    plan = plan_eviction(40 * GB, room(90), models, Watermarks(), NOW_S)

    assert names(plan) == ["old", "mid"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (model("z", 30), model("a", 20)),
        (model("z", 20, load_s=2.0), model("a", 20, load_s=9.0)),
        (model("z", 20), model("a", 20, load_s=9.0)),
        (model("a", 20), model("z", 20)),
    ],
    ids=["the larger", "the one that loads faster", "the one whose load was never measured", "the first by name"],
)
def test_of_models_used_at_the_same_time_one_leaves_first(first: Candidate, second: Candidate) -> None:
    """Ties are always broken in the same order: size, load time, name."""
    for models in ([first, second], [second, first]):
        plan = plan_eviction(20 * GB, room(90), models, Watermarks(low=0.9), NOW_S)

        assert names(plan) == [first.model_name]


def test_a_victim_that_is_not_needed_stays() -> None:
    """When the last victim alone is enough, smaller and colder ones stay."""
    models = [model("cold", 5, 1), model("mild", 10, 2), model("hot", 40, 3)]
    plan = plan_eviction(30 * GB, room(90), models, Watermarks(low=0.9), NOW_S)

    assert names(plan) == ["hot"]


def test_of_two_victims_of_which_one_is_needed_the_hotter_stays() -> None:
    """Of two victims of which one is enough, the more recently used one stays."""
    models = [model("cold", 10, 1), model("mild", 10, 2), model("hot", 25, 3)]
    plan = plan_eviction(40 * GB, room(90), models, Watermarks(low=1.0), NOW_S)

    assert (plan.target_bytes, names(plan)) == (30 * GB, ["cold", "hot"])


def test_a_victim_that_is_exactly_too_much_stays() -> None:
    """If the other victims free exactly enough, one more stays."""
    models = [model("cold", 10, 1), model("hot", 30, 2)]
    plan = plan_eviction(30 * GB, room(100), models, Watermarks(low=1.0), NOW_S)

    assert (plan.target_bytes, names(plan)) == (30 * GB, ["hot"])


def test_a_placement_that_frees_nothing_is_never_a_victim() -> None:
    """A snapshot whose bytes others on the tier need stays, because moving it would free nothing."""
    plan = plan_eviction(20 * GB, room(90), [model("shared", 0, 1), model("b", 30, 2)], Watermarks(), NOW_S)

    assert names(plan) == ["b"]


def test_a_protected_model_is_never_chosen_and_not_named() -> None:
    """The model that room is made for is neither a candidate nor named as a reason."""
    own = model("own", 50)
    err = refusal(20 * GB, room(90), [own], Watermarks(), NOW_S, protect={own.model_id})

    assert isinstance(err, OutOfSpace)
    assert err.fields["blocked"] == []


@pytest.mark.parametrize(
    ("facts", "why", "words"),
    [
        ({"pinned": True}, ["pinned"], "pinned"),
        ({"leased": True}, ["in use"], "in use"),
        ({"busy": True}, ["busy"], "a job is working on it"),
        ({"arrived_at": NOW_S - 60}, ["young"], "arrived less than 24 h 0 min ago"),
        ({"pinned": True, "leased": True}, ["pinned", "in use"], "pinned and in use"),
    ],
    ids=["pinned", "leased", "busy", "young", "two reasons"],
)
def test_what_must_stay_is_named_with_its_reason(facts: dict[str, object], why: list[str], words: str) -> None:
    """When only a pin, a lease, a job or the minimum stay is in the way, the conflict names it with the bytes."""
    err = refusal(20 * GB, room(90), [model("a", 30, 0.0, **facts)], Watermarks(), NOW_S)

    assert isinstance(err, Conflict)
    assert err.fields["blocked"] == [{"model_name": "a", "why": why, "free_bytes": 30 * GB}]
    assert err.detail == (
        f"Need 20.0 GB, primary has 10.0 GB of 100.0 GB; these would make room but have to stay: a (30.0 GB, {words})."
    )


def test_the_hint_names_the_pins_to_take_off() -> None:
    """If unpinning is enough, the hint names the commands, for no more models than needed."""
    models = [model("a", 10, 1, pinned=True), model("b", 10, 2, pinned=True), model("c", 10, 3, pinned=True)]
    err = refusal(20 * GB, room(95), [*models, model("d", 40, 0, leased=True)], Watermarks(), NOW_S)

    assert err.hint == "shelf unpin a and shelf unpin b would make room."


def test_unpinning_to_the_byte_is_enough() -> None:
    """The hint names a pin that frees exactly enough, and not one that frees nothing."""
    models = [model("a", 10, 1, pinned=True), model("shared", 0, 0, pinned=True)]
    err = refusal(20 * GB, room(90), models, Watermarks(), NOW_S)

    assert err.hint == "shelf unpin a would make room."
    assert "shared" not in err.detail


def test_the_hint_says_to_wait_where_unpinning_is_not_enough() -> None:
    """The hint says to wait if unpinning isn't enough, as for a pinned model that is also in use."""
    err = refusal(20 * GB, room(90), [model("a", 30, pinned=True, leased=True)], Watermarks(), NOW_S)

    assert err.hint.startswith("Try again when they aren't in use")


def test_a_long_list_is_cut_in_the_sentence_and_whole_in_the_fields() -> None:
    """The sentence names five of many pinned models, and the error's fields hold all."""
    models = [model(f"m{i}", 10, i, pinned=True) for i in range(9)]
    err = refusal(20 * GB, room(90), models, Watermarks(), NOW_S)

    assert err.detail.endswith("m4 (10.0 GB, pinned) and 4 more.")
    assert [blocked["model_name"] for blocked in err.fields["blocked"]] == [f"m{i}" for i in range(9)]  # type: ignore[attr-defined]


def test_a_model_larger_than_the_limit_moves_nothing() -> None:
    """A model larger than the limit is refused before anything leaves, and the error says so."""
    err = refusal(140 * GB, room(90), [model("a", 90)], Watermarks(), NOW_S)

    assert isinstance(err, OutOfSpace)
    assert err.detail == "Need 140.0 GB, primary may hold 100.0 GB in all: nothing was moved."
    assert (err.fields["needed_bytes"], err.fields["limit_bytes"]) == (140 * GB, 100 * GB)


def test_a_model_as_large_as_the_limit_has_the_tier_to_itself() -> None:
    """A model exactly as large as the limit evicts everything else."""
    plan = plan_eviction(100 * GB, room(90), [model("a", 40, 1), model("b", 50, 2)], Watermarks(), NOW_S)

    assert names(plan) == ["a", "b"]


def test_out_of_space_where_even_everything_would_not_help() -> None:
    """If other files or reservations take the room, the error is out of space, not a conflict with a model."""
    err = refusal(50 * GB, room(90), [model("a", 10), model("b", 20, pinned=True)], Watermarks(), NOW_S)

    assert isinstance(err, OutOfSpace)
    assert err.detail == (
        "Need 50.0 GB, primary has 10.0 GB of 100.0 GB;"
        " evicting what may go frees 10.0 GB, what has to stay holds 20.0 GB."
    )
    assert err.fields["movable_bytes"] == 10 * GB


@pytest.mark.parametrize("limit", [100, None], ids=["with a limit", "without a limit"])
def test_a_full_disk_is_mended_by_moving_to_another_disk(limit: int | None) -> None:
    """When the disk is short and the limit isn't, what the disk lacks leaves, and no more."""
    models = [model("a", 5, 1), model("b", 5, 2)]
    plan = plan_eviction(8 * GB, room(50, limit, disk_free=4), models, Watermarks(), NOW_S)

    assert (names(plan), plan.target_bytes) == (["a"], 4 * GB)


def test_a_full_disk_is_not_mended_by_moving_on_the_same_disk() -> None:
    """When both tiers share the full disk, demoting frees nothing there, so nothing moves."""
    err = refusal(8 * GB, room(50, disk_free=4), [model("a", 50)], Watermarks(), NOW_S, same_disk=True)

    assert isinstance(err, OutOfSpace)
    assert "nothing was moved" in err.detail
    assert err.hint == "Free some space on its disk."


def test_a_full_limit_is_mended_by_moving_on_the_same_disk() -> None:
    """When the limit is short and the disk isn't, both tiers may share the disk."""
    plan = plan_eviction(20 * GB, room(90), [model("a", 90)], Watermarks(), NOW_S, same_disk=True)

    assert names(plan) == ["a"]


def test_what_the_disk_just_holds_is_no_full_disk() -> None:
    """A need exactly as large as the disk's free space fits."""
    plan = plan_eviction(4 * GB, room(50, disk_free=4), [model("a", 50)], Watermarks(), NOW_S, same_disk=True)

    assert plan.victims == ()


def test_a_full_disk_that_cannot_be_mended_says_that_it_is_the_disk() -> None:
    """The error speaks of the disk where the limit has room."""
    err = refusal(8 * GB, room(50, disk_free=4), [model("a", 1)], Watermarks(), NOW_S)

    assert isinstance(err, OutOfSpace)
    assert err.detail.startswith("Need 8.0 GB, primary has 4.0 GB on its disk;")
    assert err.hint == "Free some space on its disk."


def test_the_minimum_stay_ends_to_the_second() -> None:
    """A placement may leave once it has stayed exactly the minimum."""
    young = model("a", 30, arrived_at=NOW_S - 86399.5)

    assert isinstance(refusal(20 * GB, room(90), [young], Watermarks(), NOW_S), Conflict)
    assert names(plan_eviction(20 * GB, room(90), [young], Watermarks(), NOW_S + 1)) == ["a"]


def test_a_person_does_not_wait_for_the_minimum_stay() -> None:
    """A request by a person may evict what arrived a moment ago."""
    plan = plan_eviction(20 * GB, room(90), [model("a", 30, arrived_at=NOW_S)], Watermarks().at_once(), NOW_S)

    assert names(plan) == ["a"]


def test_an_arrival_in_the_future_keeps_nothing() -> None:
    """After the clock was set back, the minimum stay doesn't keep a placement until the clock has caught up."""
    plan = plan_eviction(20 * GB, room(90), [model("a", 30, arrived_at=NOW_S + 1e6)], Watermarks(), NOW_S)

    assert names(plan) == ["a"]


@pytest.mark.parametrize(("high", "low", "stay_s"), [(0.8, 0.9, 0), (1.1, 0.9, 0), (0.9, 0, 0), (0.9, 0.8, -1)])
def test_marks_that_make_no_sense_are_refused(high: float, low: float, stay_s: float) -> None:
    """Watermarks out of order or range, or a negative stay, are bad input."""
    with pytest.raises(BadInput, match="are invalid"):
        Watermarks(high, low, stay_s)


def test_all_models_of_a_snapshot_leave_together() -> None:
    """A plan names each model that leaves, and those of one snapshot one after the other."""
    plan = plan_eviction(
        30 * GB, room(100), [model("q4", 30, 1, twins=("q8",)), model("b", 20, 2)], Watermarks(), NOW_S
    )

    assert plan.model_names == ["q4", "q8", "b"]


def test_a_plan_is_plain_data() -> None:
    """A plan turns into nested dictionaries of plain values."""
    plan = plan_eviction(20 * GB, room(90), [model("a", 30)], Watermarks(), NOW_S)

    assert asdict(plan)["victims"][0]["model_name"] == "a"


def test_deletion_takes_what_the_hub_still_has() -> None:
    """On a full secondary the victim is the coldest model that the hub still has, not the coldest of all."""
    models = [model("only-copy", 50, 1, on_hub=False), model("b", 40, 2)]
    plan = plan_deletion(20 * GB, room(90), models, Watermarks(), NOW_S)

    assert names(plan) == ["b"]


def test_an_only_copy_is_never_deleted_and_no_conflict() -> None:
    """A model that the hub no longer has is never deleted, and nobody is asked to unpin it."""
    models = [model("a", 90, on_hub=False, pinned=True)]

    with pytest.raises(OutOfSpace) as caught:
        plan_deletion(20 * GB, room(90), models, Watermarks(), NOW_S)

    assert caught.value.fields["cache_location"] == "secondary"
    assert caught.value.fields["blocked"] == [
        {"model_name": "a", "why": ["pinned", "only-copy"], "free_bytes": 90 * GB}
    ]


def test_deletion_keeps_pins_and_the_protected() -> None:
    """Pins and protection hold for deleting as for demoting."""
    pinned, own = model("pinned", 40, pinned=True), model("own", 40)

    with pytest.raises(Conflict, match=r"have to stay: pinned \(40\.0 GB, pinned\)"):
        plan_deletion(20 * GB, room(90), [pinned, own], Watermarks(), NOW_S, protect=[own.model_id])


def test_demoting_does_not_ask_the_hub() -> None:
    """A model that the hub no longer has may be demoted, because the slower tier keeps it."""
    assert names(plan_eviction(20 * GB, room(90), [model("a", 30, on_hub=False)], Watermarks(), NOW_S)) == ["a"]


sizes = st.integers(0, 50)
times = st.integers(0, 20).map(lambda t: NOW_S - t * 3600.0)
candidates = st.lists(
    st.builds(
        Candidate,
        model_name=st.sampled_from("abcdef"),
        model_id=st.integers(1, 1000),
        free_bytes=sizes,
        last_used_at=times,
        arrived_at=times,
        pinned=st.sampled_from([False, False, False, True]),
        leased=st.sampled_from([False, False, False, True]),
        busy=st.sampled_from([False, False, False, True]),
        load_s=st.none() | st.floats(0, 100),
        on_hub=st.booleans(),
    ),
    max_size=9,
    unique_by=lambda candidate: candidate.model_id,
)
watermarks = st.builds(
    lambda marks, stay_s: Watermarks(max(marks), min(marks), stay_s),
    st.tuples(st.floats(0.5, 1), st.floats(0.5, 1)),
    st.sampled_from([0.0, 3600.0, 36000.0]),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[int, Room, list[Candidate], Watermarks]:
    """Draw a tier, its placements, and a need."""
    models = draw(candidates)
    usage = sum(c.free_bytes for c in models) + draw(sizes)
    limit = draw(st.none() | st.integers(1, 300))
    around = Room(limit, usage, draw(sizes), draw(st.integers(0, 200)), draw(sizes))
    return draw(st.integers(0, 100)), around, models, draw(watermarks)


def planned(
    situation: tuple[int, Room, list[Candidate], Watermarks], *, delete: bool = False
) -> EvictionPlan | type[ShelfError]:
    """Return the plan, or the kind of the error."""
    try:
        return (plan_deletion if delete else plan_eviction)(*situation, NOW_S)
    except (Conflict, OutOfSpace) as err:
        return type(err)


def fits(need_bytes: int, before: Room, freed_bytes: int) -> bool:
    """Return whether the need fits after freeing so many bytes."""
    after = replace(before, usage_bytes=before.usage_bytes - freed_bytes, free_bytes=before.free_bytes + freed_bytes)
    by_limit = after.limit_bytes is None or need_bytes + after.usage_bytes + after.reserved_bytes <= after.limit_bytes
    return by_limit and need_bytes + after.reserved_on_disk_bytes <= after.free_bytes


def may_leave(candidate: Candidate, marks: Watermarks, *, delete: bool) -> bool:
    """Return whether a candidate may be a victim."""
    held = candidate.pinned or candidate.leased or candidate.busy or (delete and not candidate.on_hub)
    return not held and NOW_S - candidate.arrived_at >= marks.min_stay_s


@given(situations(), st.booleans())
def test_any_plan_is_sound(situation: tuple[int, Room, list[Candidate], Watermarks], delete: bool) -> None:
    """After a plan the need fits; the victims were allowed, are ordered coldest first, and all of them are needed."""
    need_bytes, before, models, marks = situation
    plan = planned(situation, delete=delete)
    if isinstance(plan, type):
        return

    assert fits(need_bytes, before, plan.free_bytes)
    assert all(may_leave(victim, marks, delete=delete) and victim in models for victim in plan.victims)
    assert plan.free_bytes == sum(victim.free_bytes for victim in plan.victims) >= plan.target_bytes
    assert all(plan.free_bytes - victim.free_bytes < plan.target_bytes for victim in plan.victims)
    used = [victim.last_used_at for victim in plan.victims]
    assert used == sorted(used)


@given(situations(), st.booleans())
def test_the_coldest_are_enough_for_the_plan_over_all(
    situation: tuple[int, Room, list[Candidate], Watermarks], delete: bool
) -> None:
    """Once the coldest placements are enough, the others change nothing about the plan."""
    need_bytes, before, models, marks = situation
    asked = {"marks": marks, "now_s": NOW_S, "only_from_hub": delete}
    for last_s in sorted({c.last_used_at for c in models}):
        coldest = [c for c in models if c.last_used_at <= last_s]
        if is_enough(need_bytes, before, coldest, **asked):
            assert planned((need_bytes, before, coldest, marks), delete=delete) == planned(situation, delete=delete)


@given(situations(), st.booleans())
def test_there_is_a_plan_whenever_one_is_possible(
    situation: tuple[int, Room, list[Candidate], Watermarks], delete: bool
) -> None:
    """A need is refused only if freeing all that may leave isn't enough; it is a conflict only if the rest would be."""
    need_bytes, before, models, marks = situation
    plan = planned(situation, delete=delete)
    movable_bytes = sum(c.free_bytes for c in models if may_leave(c, marks, delete=delete))
    all_bytes = sum(c.free_bytes for c in models if c.on_hub or not delete)
    too_large = before.limit_bytes is not None and need_bytes > before.limit_bytes

    assert isinstance(plan, EvictionPlan) == (fits(need_bytes, before, movable_bytes) and not too_large)
    if plan is Conflict:
        assert fits(need_bytes, before, all_bytes)
    if plan is OutOfSpace:
        assert too_large or not fits(need_bytes, before, all_bytes)


@given(situations(), st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(
    situation: tuple[int, Room, list[Candidate], Watermarks], rng: random.Random
) -> None:
    """The same candidates in any order give the same plan or the same kind of refusal."""
    need_bytes, before, models, marks = situation
    shuffled = rng.sample(models, len(models))

    assert planned((need_bytes, before, shuffled, marks)) == planned(situation)


@given(situations(), candidates)
def test_more_candidates_never_make_it_fail(
    situation: tuple[int, Room, list[Candidate], Watermarks], more: list[Candidate]
) -> None:
    """A need that has a plan still has one when more candidates may leave."""
    need_bytes, before, models, marks = situation
    others = [replace(candidate, model_id=candidate.model_id + 1000) for candidate in more]
    if isinstance(planned(situation), EvictionPlan):
        assert isinstance(planned((need_bytes, before, models + others, marks)), EvictionPlan)


@given(situations())
def test_the_hottest_victim_is_as_cold_as_can_be(
    situation: tuple[int, Room, list[Candidate], Watermarks],
) -> None:
    """All candidates colder than the hottest victim together don't reach the target."""
    _, _, models, marks = situation
    plan = planned(situation)
    if isinstance(plan, type) or not plan.victims:
        return
    hottest_s = plan.victims[-1].last_used_at
    colder = [c for c in models if may_leave(c, marks, delete=False) and c.last_used_at < hottest_s]

    assert sum(c.free_bytes for c in colder) < plan.target_bytes


def test_mirrored_models_leave_first_as_far_as_needed() -> None:
    """Of mirrored placements the coldest leave until it fits; the pinned, and those that the hub lost, stay."""
    facts = {"mirrored": True}
    found = [
        model("own", 50, 0),
        model("cold", 5, 1, **facts),
        model("pinned", 5, 2, pinned=True, **facts),
        model("lost", 5, 3, on_hub=False, **facts),
        model("warm", 5, 4, **facts),
        model("hot", 5, 5, **facts),
    ]

    def leaving(need: int) -> list[str]:
        return [one.model_name for one in leaving_first(need * GB, room(80), found, Watermarks(), NOW_S)]

    assert [leaving(need) for need in (20, 24, 27, 90)] == [[], ["cold"], ["cold", "warm"], ["cold", "warm", "hot"]]
