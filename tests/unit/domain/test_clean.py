"""Which models and snapshots clean proposes to delete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.clean import CleanKind, CleanWish, largest_first, propose, ticked, with_bytes
from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import BasePath, CommitHash, ModelName, RefName, RepoId
from modelshelf.domain.patterns import FilePattern
from modelshelf.domain.plans import UnneededSnapshot
from modelshelf.domain.tiers import PRIMARY, Tier
from modelshelf.errors import BadInput

DAY_S = 86400.0
NOW_S = 1000 * DAY_S
OLD, NEW = CommitHash("a" * 40), CommitHash("b" * 40)


def row(name: str, **facts: object) -> ModelRow:
    """Return a model that was downloaded and last used long ago."""
    values: dict[str, object] = {
        "id": sum(name.encode()),
        "model_name": ModelName(name),
        "hf_path": RepoId("org/m"),
        "revision": RefName("main"),
        "commit_hash": NEW,
        "cache_location": "primary",
        "cache_path": "/fast",
        "allow_patterns": (),
        "pinned": False,
        "pin_reason": "",
        "complete": True,
        "signature": "",
        "size_bytes": 1,
        "format": "",
        "quantisation": "",
        "created_at": 0.0,
        "arrived_at": 0.0,
        "last_used_at": 0.0,
        "uses": 1,
        "job_id": None,
        "job_kind": "",
        "job_state": "",
        "job_detail": "",
        "job_done_bytes": 0,
        "job_total_bytes": 0,
        "job_owner": "",
    }
    return ModelRow(**(values | facts))


def snapshot(repo_id: str, free_bytes: int = 5) -> UnneededSnapshot:
    """Return a snapshot that no model needs."""
    return UnneededSnapshot(Tier(PRIMARY, BasePath("/fast"), None), RepoId(repo_id), OLD, (), free_bytes)


def names(rows: list[ModelRow], wish: CleanWish) -> list[str]:
    """Return the names of the models that clean proposes."""
    return [item.model_name for item in propose(rows, (), wish, NOW_S)]


@pytest.mark.parametrize(
    ("facts", "could"),
    [
        ({}, True),
        ({"last_used_at": None}, True),
        ({"last_used_at": NOW_S - 89 * DAY_S}, False),
        ({"last_used_at": NOW_S - 90 * DAY_S}, True),
        ({"arrived_at": NOW_S - DAY_S}, False),
        ({"commit_hash": None}, False),
    ],
    ids=["long ago", "never", "lately", "on the day", "it came lately", "it was never downloaded"],
)
def test_a_model_that_nobody_used_could_go(facts: dict[str, object], could: bool) -> None:
    """A model that was used or downloaded recently stays, and so does one without files."""
    assert bool(names([row("m", **facts)], CleanWish(90 * DAY_S, revisions=False, older=False))) is could


FIXED = {"revision": RefName(OLD), "commit_hash": OLD}
EARLIER = {"commit_hash": OLD, "created_at": -1.0, "arrived_at": -1.0}


@pytest.mark.parametrize(
    ("older", "newer", "could"),
    [
        (FIXED | {"arrived_at": 5.0}, {}, True),
        (EARLIER, {}, True),
        (EARLIER | {"hf_path": RepoId("Org/M")}, {}, True),
        (EARLIER, {"complete": False}, False),
        (EARLIER, {"hf_path": RepoId("org/other")}, False),
        (EARLIER, {"allow_patterns": (FilePattern("*.gguf"),)}, False),
        (EARLIER | {"commit_hash": NEW}, {}, False),
        (EARLIER | {"arrived_at": 5.0}, {}, False),
        (EARLIER | {"created_at": 5.0}, {}, False),
    ],
    ids=[
        "fixed beside one that follows",
        "registered and come earlier",
        "another spelling",
        "the newer one isn't whole",
        "another repository",
        "other files",
        "the same commit",
        "it came later: moved perhaps",
        "it was registered later: the other was updated perhaps",
    ],
)
def test_a_model_that_a_newer_one_replaced_could_go(
    older: dict[str, object], newer: dict[str, object], could: bool
) -> None:
    """A model is replaced only where it is certain which is newer; the newer one stays."""
    found = names([row("old", **older), row("new", **newer)], CleanWish(None, revisions=False))

    assert found == (["old"] if could else [])


def test_a_model_is_named_once_and_a_snapshot_by_its_model() -> None:
    """A model is proposed once, and a snapshot that no model was registered for is never proposed."""
    rows = [row("old", **EARLIER), row("new", last_used_at=NOW_S)]

    found = propose(rows, [snapshot("org/M"), snapshot("org/stranger")], CleanWish(), NOW_S)

    assert [(item.kind, item.model_name, item.why) for item in found] == [
        (CleanKind.UNUSED, "old", "Nobody used it for 1,000 days."),
        (CleanKind.REVISION, "", "new doesn't need it."),
    ]
    assert propose(rows, [snapshot("org/m")], CleanWish(None, revisions=False, older=False), NOW_S) == []


def test_the_largest_comes_first() -> None:
    """A plan lists the largest first and adds up the bytes."""
    items = propose([row("m")], [snapshot("org/m", 7)], CleanWish(), NOW_S)

    plan = largest_first([with_bytes(items[0], 3), items[1]], ["n is pinned."])

    assert ([item.free_bytes for item in plan.items], plan.free_bytes, plan.kept) == ([7, 3], 10, ("n is pinned.",))


@given(st.sets(st.integers(1, 30), min_size=1), st.sampled_from([" ", ",", ", "]))
def test_what_is_ticked_is_what_was_typed(numbers: set[int], between: str) -> None:
    """Numbers select lines in any order, one or several times."""
    text = between.join(map(str, [*numbers, *sorted(numbers, reverse=True)]))

    assert ticked(text, 30) == sorted(number - 1 for number in numbers)
    assert ticked(f"{min(numbers)}-{max(numbers)}", 30) == list(range(min(numbers) - 1, max(numbers)))


@pytest.mark.parametrize("text", ["", "0", "4", "2-1", "1-4", "x", "-1", "1.5", "1 y"])
def test_a_line_that_there_is_not_is_refused(text: str) -> None:
    """An unknown line number is refused: nothing is selected by guessing."""
    with pytest.raises(BadInput):
        ticked(text, 3)
