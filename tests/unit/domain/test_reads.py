"""Uses by other programs, told from access times."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain import reads
from modelshelf.domain.reads import FileTimes, PlacementReads, Verdict, judge, judge_alone, why_not_kept
from modelshelf.domain.users import User
from modelshelf.errors import BadInput
from modelshelf.units import GB

DAY_S = 86400.0
NOW_S = 1_000 * DAY_S
WRITTEN_S = NOW_S - 100 * DAY_S


def placement(*read_at: float, size_bytes: int = GB, **facts: object) -> PlacementReads:
    """Return a placement whose files were read at these times; 0 for one that wasn't."""
    files = tuple(FileTimes(at or WRITTEN_S - 1, WRITTEN_S, size_bytes) for at in read_at)
    return PlacementReads(files, **{"arrived_at": WRITTEN_S + 10, **facts})


UNREAD = placement(0)


def only(one: PlacementReads) -> Verdict:
    """Return the verdict about one placement among others that nobody reads."""
    return judge([one, UNREAD, UNREAD], NOW_S)[0]


@pytest.mark.parametrize(
    ("options", "is_network", "word"),
    [
        ({"rw", "relatime"}, False, ""),
        ({"rw"}, False, ""),
        ({"rw", "noatime"}, False, "noatime"),
        ({"ro", "relatime"}, False, "read-only"),
        ({"rw", "relatime"}, True, "Another machine"),
    ],
    ids=["relatime", "strictatime", "noatime", "read-only", "network"],
)
def test_which_mounts_keep_access_times(options: set[str], is_network: bool, word: str) -> None:
    """Access times count on a local mount that keeps them; every other gets its reason."""
    why = why_not_kept(options, is_network=is_network)

    assert word in why
    assert bool(why) == bool(word)


def test_a_reading_after_the_arrival_is_a_use() -> None:
    """A program that reads one file of a model used it then."""
    found = only(placement(NOW_S - 5, 0))

    assert found == Verdict(NOW_S - 5, NOW_S - 5, reads.USED)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (placement(0, 0), reads.NOT_READ),
        (PlacementReads((), WRITTEN_S), reads.NOT_READ),
        (placement(NOW_S + 2 * DAY_S), reads.IN_FUTURE),
        (placement(NOW_S - DAY_S, judged_at=NOW_S - DAY_S), reads.KNOWN),
        (placement(WRITTEN_S + 5), reads.BEFORE),
        (placement(NOW_S - 5, is_leased=True), reads.OURS),
        (placement(NOW_S - 500, ours=((NOW_S - 900, NOW_S - 400),)), reads.OURS),
    ],
    ids=["unread", "no times", "future", "known", "before it came", "leased", "our own"],
)
def test_what_is_no_use(one: PlacementReads, why: str) -> None:
    """What another program did before the last look isn't counted as a use, with the reason."""
    found = only(one)

    assert (found.used_at, found.why) == (None, why)


def test_our_reading_hides_no_later_one() -> None:
    """A program that reads a model after shelf did used it."""
    assert only(placement(NOW_S - 300, ours=((NOW_S - 900, NOW_S - 400),))).used_at == NOW_S - 300


def test_a_judged_reading_isnt_judged_again() -> None:
    """Once a verdict is remembered, the next look finds nothing new in the same times."""
    one = placement(NOW_S - 5)
    first = only(one)

    again = only(placement(NOW_S - 5, judged_at=first.read_at))

    assert (again.used_at, again.read_at, again.why) == (None, first.read_at, reads.KNOWN)


def test_a_mapped_model_is_used_now() -> None:
    """A model that a program keeps in memory is used at this moment, whatever its access time; once an hour."""
    mapped = only(placement(0, is_mapped=True))
    soon, later = (only(placement(0, is_mapped=True, judged_at=NOW_S - s)) for s in (3599, 3600))

    assert mapped.used_at == later.used_at == NOW_S
    assert soon.used_at is None
    assert only(placement(0, is_mapped=True, is_leased=True)).used_at is None


def test_mapped_files_count_without_access_times() -> None:
    """On a noatime mount a program that keeps a model in memory is seen all the same."""
    assert only(PlacementReads((), WRITTEN_S, is_mapped=True)).used_at == NOW_S


def in_a_row(count: int, pause_s: float, *, size_bytes: int = GB, files: int = 2) -> list[PlacementReads]:
    """Return placements that were read one after the other."""
    starts = [NOW_S - DAY_S + number * pause_s for number in range(count)]
    return [placement(*(at + n for n in range(files)), size_bytes=size_bytes) for at in starts]


def uses(found: Sequence[Verdict]) -> list[bool]:
    """Return which verdicts are uses."""
    return [verdict.used_at is not None for verdict in found]


def test_a_backup_uses_nothing() -> None:
    """What reads every model of a tier in a row, as a backup does, used none of them."""
    found = judge(in_a_row(6, 45), NOW_S)

    assert {verdict.why for verdict in found} == {reads.AT_ONCE}
    assert all(verdict.read_at for verdict in found)


def test_a_slow_backup_of_large_models_uses_nothing() -> None:
    """A backup that needs 13 minutes for each model of 40 GB used none of them."""
    assert not any(uses(judge(in_a_row(6, 800, size_bytes=20 * GB), NOW_S)))


def test_an_index_of_headers_uses_nothing() -> None:
    """A program that reads the head of one file of most models used none of them."""
    indexed = [placement(NOW_S - DAY_S + n, 0) for n in range(4)]

    assert uses(judge([*indexed, UNREAD, UNREAD], NOW_S)) == [False] * 6


def test_models_used_in_turns_are_used() -> None:
    """Six models that were loaded with ten minutes between them were used, for each is small."""
    assert all(uses(judge(in_a_row(6, 600), NOW_S)))


def test_a_few_of_many_are_used() -> None:
    """Three models of ten that one program loads in a row were used."""
    found = judge([*in_a_row(3, 5), *[UNREAD] * 7], NOW_S)

    assert uses(found) == [True] * 3 + [False] * 7


@pytest.mark.parametrize(("unread_file", "expected"), [(True, True), (False, False)], ids=["a part", "whole"])
def test_two_models_alone(unread_file: bool, expected: bool) -> None:
    """Where a tier has two models, both read in a row are used only if the reader left out a file."""
    last = 0.0 if unread_file else NOW_S - 8
    pair = [placement(NOW_S - 10, NOW_S - 9), placement(NOW_S - 9, last)]

    assert uses(judge(pair, NOW_S)) == [expected, expected]


def test_the_only_model_is_used() -> None:
    """The one model of a tier is used by whoever reads it."""
    assert uses(judge([placement(NOW_S - 5)], NOW_S)) == [True]


def test_a_mapped_model_is_used_during_a_backup_too() -> None:
    """A backup hides no program that keeps a model in memory."""
    first, *rest = in_a_row(6, 45)
    mapped = PlacementReads(first.files, first.arrived_at, is_mapped=True)

    assert uses(judge([mapped, *rest], NOW_S)) == [True] + [False] * 5


@given(
    st.lists(
        st.builds(
            placement,
            st.floats(0, NOW_S + DAY_S),
            st.floats(0, NOW_S),
            size_bytes=st.integers(0, 100 * GB),
            arrived_at=st.floats(0, NOW_S),
            judged_at=st.floats(0, NOW_S),
            is_mapped=st.booleans(),
            is_leased=st.booleans(),
        ),
        max_size=6,
    )
)
def test_a_use_is_new_and_never_shelfs_own(placements: list[PlacementReads]) -> None:
    """A use comes after the last look, not in the future, and never while shelf itself holds the model."""
    found = judge(placements, NOW_S)

    assert len(found) == len(placements)
    for one, verdict in zip(placements, found, strict=True):
        if verdict.used_at is not None:
            assert one.judged_at < verdict.used_at <= NOW_S + reads.SLACK_S
            assert verdict.used_at == verdict.read_at
            assert not one.is_leased
        assert judge_alone(one, NOW_S) in (verdict, None)


def test_only_a_fresh_reading_depends_on_the_tier() -> None:
    """What nobody read since the last look is judged by itself; a fresh reading may be a backup's."""
    known = placement(NOW_S - DAY_S, judged_at=NOW_S - DAY_S)

    assert judge_alone(UNREAD, NOW_S) == Verdict(None, 0, reads.NOT_READ)
    assert judge_alone(known, NOW_S) == judge([known], NOW_S)[0]
    assert judge_alone(placement(NOW_S - 5), NOW_S) is None


def test_who_used_a_model_is_one_of_three() -> None:
    """A stored user is shelf, another program or nobody; anything else is invalid."""
    assert User.parse("shelf") is User.SHELF
    with pytest.raises(BadInput):
        User.parse("somebody")
