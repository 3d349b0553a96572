"""The ledger of uses, on each database: what requests are written down, counted, listed and pruned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from modelshelf.domain.uses import Use, UseFilter
from modelshelf.registry.registry import Registry
from tests.contract.test_registry import add

AT = 1_800_000_000.0


def use(model_name: str = "smol", at: float = AT, **more: object) -> Use:
    """Return a request that was answered, unless `more` says something else."""
    values: dict[str, object] = {"engine": "llama", "cache_location": "primary", "status": 200} | more
    return Use(model_name, "chat/completions", at, 2.0, **values)


def test_a_request_is_read_as_it_was_written(registry: Registry) -> None:
    """A row has every figure of its request, and what isn't known is null."""
    add(registry, "smol")
    known = use(
        prompt_tokens=3, completion_tokens=5, first_token_s=0.5, tokens_per_s=9.5, key_name="me", request_id="r"
    )

    registry.add_uses([known, use(status=404, error="not-found", engine="", model_name="nope")])

    nope, smol = registry.uses(UseFilter())
    assert {name: getattr(smol, name) for name in Use.__dataclass_fields__} == {
        name: getattr(known, name) for name in Use.__dataclass_fields__
    }
    assert (nope.model_name, nope.status, nope.error, nope.prompt_tokens, nope.first_token_s) == (
        "nope",
        404,
        "not-found",
        None,
        None,
    )


def test_requests_count_as_uses_of_their_model(registry: Registry) -> None:
    """Requests that came to an engine make their model a used one; a refused one and another model's don't."""
    smol, other = add(registry, "smol"), add(registry, "other")

    registry.add_uses([use(at=AT), use(at=AT - 50), use(at=AT + 900, engine="", status=429)])

    row = registry.model("smol")
    assert row is not None
    assert (row.uses, row.last_used_at) == (2, pytest.approx(AT + 2))
    assert registry.uses_at(replace(smol, arrived_at=0.0)) == [AT - 50, AT, AT + 900]
    assert registry.uses_at(replace(other, arrived_at=0.0)) == []
    registry.add_uses([use(at=AT - 500)])
    assert registry.models()[1].last_used_at == pytest.approx(AT + 2)


def test_requests_outlive_their_model_and_follow_its_name(registry: Registry) -> None:
    """A renamed model's requests have its new name, and a removed one's keep the last that they knew."""
    kept, gone = add(registry, "kept"), add(registry, "gone")
    registry.add_uses([use("kept"), use("gone")])

    registry.rename(kept.id, "renamed")
    registry.delete_model(gone.id)

    assert [row.model_name for row in registry.uses(UseFilter())] == ["gone", "renamed"]
    assert [row.kind for row in registry.uses(UseFilter("gone"))] == ["chat/completions"]
    assert len(registry.uses(UseFilter("renamed"))) == 1
    assert registry.uses(UseFilter("kept")) == []


def test_pages_go_back_in_time(registry: Registry) -> None:
    """Each page goes on where the one before ended, and `since` leaves out what is older."""
    add(registry, "smol")
    registry.add_uses([use(at=AT + number) for number in range(5)])

    first = registry.uses(UseFilter(limit=2))
    second = registry.uses(UseFilter(limit=2, after=first[-1].id))

    assert [row.at - AT for row in [*first, *second]] == [4, 3, 2, 1]
    assert [row.at - AT for row in registry.uses(UseFilter(since=AT + 3))] == [4, 3]


def test_stats_sum_up_each_model(registry: Registry) -> None:
    """Counts, tokens, percentiles and rates are of one model each, and loads don't count as requests."""
    row = add(registry, "smol")
    registry.add_use(row.id, "load", 1.0)
    timed = [use(first_token_s=number / 100, prompt_tokens=2, completion_tokens=3) for number in range(1, 101)]
    fast = [use(completion_tokens=100, tokens_per_s=50.0), use(completion_tokens=100, tokens_per_s=25.0)]
    bad = [
        use(status=502, error="engine-failed"),
        use(status=499, error="client-left"),
        use("x", engine="", status=404),
    ]

    registry.add_uses([*timed, *fast, *bad])

    none, smol = registry.use_stats()
    assert (smol.model_name, smol.requests, smol.errors) == ("smol", 104, 1)
    assert (smol.prompt_tokens, smol.completion_tokens) == (200, 500)
    assert (smol.first_token_p50_s, smol.first_token_p95_s) == (0.5, 0.95)
    assert smol.tokens_per_s == pytest.approx(200 / 6)
    assert (none.model_name, none.requests, none.errors, none.first_token_p50_s, none.tokens_per_s) == (
        "",
        1,
        1,
        None,
        None,
    )


def test_stats_can_be_of_one_model_and_of_lately(registry: Registry) -> None:
    """Only the model and the time that are asked for count."""
    add(registry, "one")
    add(registry, "two")
    registry.add_uses([use("one"), use("one", at=AT + 10), use("two", at=AT + 10)])

    assert [(row.model_name, row.requests) for row in registry.use_stats("one")] == [("one", 2)]
    assert [(row.model_name, row.requests) for row in registry.use_stats(since=AT + 5)] == [("one", 1), ("two", 1)]


def test_old_requests_are_pruned_in_batches(registry: Registry, database: sa.Engine) -> None:
    """Requests from before the time that they are kept go, a batch at a time; a month of loads stays."""
    row = add(registry, "smol")
    registry.add_use(row.id, "load", 1.0)
    registry.add_use(row.id, "load", 1.0)
    registry.add_uses([use(at=1.0), use(at=2.0), use(at=3.0), use(at=9e9)])
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE uses SET at = 5 WHERE id = 1"))

    assert [registry.prune_uses(86400.0, most=3) for _ in range(3)] == [3, 1, 0]

    assert sorted(row.kind for row in registry.uses(UseFilter())) == ["chat/completions", "load"]
