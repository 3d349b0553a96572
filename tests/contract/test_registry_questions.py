"""Questions about a few models don't read all rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelshelf.domain.listing import Listing, Order
from modelshelf.registry import fast_read
from modelshelf.registry.registry import Registry

ABOUT_FEW = {
    "one by name": (f"{fast_read.MODEL_ROWS} WHERE m.model_name = :name", {"name": "n"}),
    "of a repository": fast_read.models_query(repo_id="org/name"),
    "of a location": fast_read.models_query(cache_location="custom"),
    "one by id": fast_read.models_query(model_id=1),
    "adapters": (fast_read.ADAPTERS, {}),
    "manifest": (fast_read.FILES, {"hf_path": "org/name", "commit": "c"}),
    "moves": (fast_read.MOVES, {"model_id": 1}),
    "next page by size": fast_read.listed_query(Listing("", Order.SIZE, "n", 100)),
    "next page by use": fast_read.listed_query(Listing("", Order.USED, "n", 100)),
    "next page by name": fast_read.listed_query(Listing("", Order.NAME, "n", 100)),
}
IN_ORDER = {order: fast_read.listed_query(Listing(order=order, limit=100)) for order in Order}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a registry."""
    Registry(f"sqlite:///{tmp_path}/registry.db").close()
    return tmp_path / "registry.db"


def plan_of(path: Path, statement: str, parameters: dict[str, str | int]) -> list[str]:
    """Return SQLite's query plan."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


@pytest.mark.parametrize("question", ABOUT_FEW)
def test_a_question_about_few_models_searches_an_index(path: Path, question: str) -> None:
    """A question about few models searches each table by an index."""
    assert [step for step in plan_of(path, *ABOUT_FEW[question]) if step.startswith("SCAN")] == []


def test_the_moves_of_a_model_are_found_among_its_jobs(path: Path) -> None:
    """A model's last moves are read from its own jobs, in their order, and not from all that are done."""
    assert plan_of(path, *ABOUT_FEW["moves"]) == ["SEARCH jobs USING INDEX ix_jobs_model_id (model_id=?)"]


@pytest.mark.parametrize("order", Order)
def test_a_page_is_read_in_the_order_of_an_index(path: Path, order: Order) -> None:
    """The first page of a listing sorts nothing and stops reading at its last model."""
    assert not [step for step in plan_of(path, *IN_ORDER[order]) if "TEMP B-TREE" in step]
