"""Plans are values that say what will be done, in bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.models import FileEntry, Registration
from modelshelf.domain.names import BasePath, CommitHash, ModelName, RepoId
from modelshelf.domain.plans import (
    LEAST_RUN_SEGMENTS,
    MOST_RUN_SEGMENTS,
    SEGMENT_BYTES,
    AddPlan,
    BlobNeed,
    MovePlan,
    UpdatePlan,
    beside_bytes,
    plan_pull,
    plan_runs,
    segment_count,
    segment_range,
)
from modelshelf.domain.tiers import Tier

FILES = [
    FileEntry("config.json", 5, "c"),
    FileEntry("w1", 70, "big"),
    FileEntry("w2", 70, "big"),
    FileEntry("t", 9, "t"),
]
SEGMENTS = st.sets(st.integers(0, 600), max_size=400).map(sorted)


def test_a_pull_fetches_each_missing_blob_once_largest_first() -> None:
    """A digest that two files share is fetched once, under the first path."""
    plan = plan_pull("org/name", "a" * 40, FILES, {})

    assert plan.fetch == (BlobNeed("big", 70, "w1"), BlobNeed("t", 9, "t"), BlobNeed("c", 5, "config.json"))
    assert (plan.fetch_bytes, plan.total_bytes, plan.suspect) == (84, 84, ())


def test_a_blob_that_is_there_is_not_fetched() -> None:
    """A blob on the tier with the right size isn't fetched."""
    plan = plan_pull("org/name", "a" * 40, FILES, {"big": 70, "other": 1})

    assert [need.digest for need in plan.fetch] == ["t", "c"]
    assert (plan.fetch_bytes, plan.total_bytes, plan.suspect) == (14, 84, ())


def test_a_blob_of_the_wrong_size_is_suspect_and_fetched() -> None:
    """A blob of the wrong size counts as missing, and the plan names it so that it can be set aside."""
    plan = plan_pull("org/name", "a" * 40, FILES, {"big": 69, "t": 9, "c": 5})

    assert plan.suspect == plan.fetch == (BlobNeed("big", 70, "w1"),)


def test_blobs_of_one_size_are_fetched_in_a_fixed_order() -> None:
    """Blobs of equal size are fetched in a fixed order, so two processes with the same plan meet at the same blobs."""
    files = [FileEntry("x", 5, "b"), FileEntry("y", 5, "a")]

    assert [n.digest for n in plan_pull("o/n", "", files, {}).fetch] == ["a", "b"]
    assert [n.digest for n in plan_pull("o/n", "", files[::-1], {}).fetch] == ["a", "b"]


@given(st.integers(0, 5 * SEGMENT_BYTES))
def test_segments_cover_a_blob_without_a_gap(size_bytes: int) -> None:
    """Each byte belongs to one segment, and no segment is empty."""
    ranges = [segment_range(i, size_bytes) for i in range(segment_count(size_bytes))]

    assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges)][: len(ranges)]
    assert all(0 < stop - start <= SEGMENT_BYTES for start, stop in ranges)
    assert (ranges[-1][1] if ranges else 0) == size_bytes


@pytest.mark.parametrize(("size_bytes", "count"), [(0, 0), (1, 1), (SEGMENT_BYTES, 1), (SEGMENT_BYTES + 1, 2)])
def test_a_blob_has_so_many_segments(size_bytes: int, count: int) -> None:
    """An empty blob has no segments, and a blob of whole segments has no empty last one."""
    assert segment_count(size_bytes) == count


@given(SEGMENTS, st.integers(0, 20))
def test_runs_cover_every_missing_segment_once(missing: list[int], streams: int) -> None:
    """Runs cover each missing segment once and no segment that is there."""
    runs = plan_runs(missing, streams)

    assert [index for start, stop in runs for index in range(start, stop)] == missing


@given(SEGMENTS, st.integers(1, 20))
def test_a_run_is_short_enough_for_all_streams_to_have_work(missing: list[int], streams: int) -> None:
    """No run exceeds a stream's share of the work or the longest request."""
    longest = max(LEAST_RUN_SEGMENTS, min(MOST_RUN_SEGMENTS, len(missing) // streams))

    assert all(0 < stop - start <= longest for start, stop in plan_runs(missing, streams))


def test_neighbours_are_asked_for_together() -> None:
    """A gap ends a run, and so does the longest request."""
    neighbours = range(10, 10 + MOST_RUN_SEGMENTS + LEAST_RUN_SEGMENTS)

    runs = plan_runs([0, 1, 3, *neighbours], 1)

    assert runs == [(0, 2), (3, 4), (10, 10 + MOST_RUN_SEGMENTS), (10 + MOST_RUN_SEGMENTS, neighbours.stop)]


def test_an_update_counts_what_it_fetches_and_what_both_commits_have() -> None:
    """Content under several names counts once in an update."""
    old = (FileEntry("a", 5, "a" * 64), FileEntry("b", 7, "b" * 64))
    new = (FileEntry("a", 5, "a" * 64), FileEntry("again", 5, "a" * 64), FileEntry("c", 9, "c" * 64))
    fetch = plan_pull("org/name", "2" * 40, new, {"a" * 64: 5}).fetch

    plan = UpdatePlan("m", "org/name", "main", "1" * 40, "2" * 40, old, new, fetch)

    assert (plan.is_current, plan.total_bytes, plan.fetch_bytes, plan.shared_bytes) == (False, 14, 9, 5)


def test_a_move_counts_what_the_target_lacks_and_what_the_model_has() -> None:
    """Content that two files share counts once in both numbers of a move."""
    plan = MovePlan(
        model_name="m",
        repo_id="org/name",
        commit_hash="a" * 40,
        source="/slow",
        target="/fast",
        target_location="primary",
        files=tuple(FILES),
        transfer=(BlobNeed("big", 70, "w1"),),
        method="copy",
        keep_source=False,
    )

    assert (plan.transfer_bytes, plan.total_bytes) == (70, 84)


def test_a_file_takes_room_beside_its_bytes_and_more_with_a_longer_path() -> None:
    """The reservation for links, lists and rows is at least a model's minimum, plus a kB and its path for each file."""
    short, long = FileEntry("a", 5, "a"), FileEntry("a" * 101, 5, "b")

    assert beside_bytes([]) > 0
    assert beside_bytes([short]) - beside_bytes([]) > 1000
    assert beside_bytes([short, long]) - beside_bytes([short, short]) == 600


@pytest.mark.parametrize(
    ("commit_hash", "size_bytes", "fetch_bytes", "is_here"),
    [("c" * 40, 7, 0, True), ("c" * 40, 7, 1, False), ("c" * 40, 0, 0, False), (None, 7, 0, False)],
)
def test_a_model_is_here_when_its_commit_is_known_and_none_of_its_bytes_is_to_be_fetched(
    commit_hash: CommitHash | None, size_bytes: int, fetch_bytes: int, is_here: bool
) -> None:
    """A pull asks the hub for nothing if the commit is known and all bytes are on the tier."""
    wanted = Registration(ModelName("m"), RepoId("org/m"), "primary")
    tier = Tier("primary", BasePath("/fast"), None)

    assert AddPlan(wanted, tier, commit_hash, (), size_bytes, fetch_bytes, 0, None).is_here is is_here
