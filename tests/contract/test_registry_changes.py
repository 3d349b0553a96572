"""The table of changes: every write records what it changed in its own transaction, whoever writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from modelshelf.domain.changes import newest_of_each
from modelshelf.domain.models import FileEntry, ModelRow, Registration
from modelshelf.registry.database import make_engine
from modelshelf.registry.registry import Registry
from modelshelf.registry.tables import jobs, leases, metadata, models, tiers

TRACKED = {"models", "jobs", "tiers", "leases"}
TOLD_OF_A_MODEL = {"uses", "damage"}
"""A new row in these tables is a change of its model."""
UNTRACKED = {"library", "files", "reservations", "reads", "checks", "changes", "api_keys", "servers", "webhooks"}
UNTRACKED |= {"usage_history"}
QUIET = {
    "jobs": {"phase", "done_bytes", "total_bytes", "rate_bytes_per_s", "result", "owner", "heartbeat_at", "parent_id"}
    # written together with the state, or never after the job exists
    | {"id", "kind", "model_id", "model_name", "params", "error", "attempts", "created_at", "finished_at", "reason"}
    | {"disk", "ready_at", "tiers", "files"},
    "tiers": {"id", "admissions"},
    "leases": {"id", "model_id", "cache_path", "kind", "holder", "owner", "expires_at"},
    "models": {"id"},
}
"""Columns whose change isn't recorded: a job's progress, heartbeats, and what never changes alone."""


@pytest.fixture
def row(registry: Registry) -> ModelRow:
    """A registered model with a job, a lease, and a tier."""
    row = registry.add_model(Registration("m", "org/name", "primary"), "/mnt/fast")
    registry.set_manifest(row, "c" * 40, [FileEntry("w.bin", 1, "d" * 64)])
    registry.enqueue("pull", row)
    registry.leases.take(row.id, "/mnt/fast", kind="run", holder="me", owner="me", ttl_s=60)
    registry.bases.remember("t" * 32, "primary", "/mnt/fast")
    return row


def noted(registry: Registry, act: Callable[[], object]) -> list[tuple[str, str]]:
    """Return what is recorded while something is done, the newest change of each object."""
    before = registry.changes.newest()
    act()
    changes = registry.changes.after(before)
    assert changes is not None
    return [(change.kind, change.key) for change in newest_of_each(changes)]


def run(database: sa.Engine, statement: sa.Executable) -> None:
    """Run a statement that knows nothing of changes."""
    with database.begin() as connection:
        connection.execute(statement)


def other_value(column: sa.Column[Any]) -> Any:
    """Return a different value for a column."""
    if isinstance(column.type, sa.Boolean):
        return ~column
    return column + 1 if isinstance(column.type, sa.Integer | sa.BigInteger | sa.Double) else "other"


def test_every_table_is_noted_or_named_here() -> None:
    """Every table's changes are recorded, or the table is listed as quiet."""
    assert set(metadata.tables) == TRACKED | TOLD_OF_A_MODEL | UNTRACKED


@pytest.mark.parametrize(
    ("table", "column"),
    [(name, c.name) for name in sorted(TRACKED) for c in metadata.tables[name].c if c.name not in QUIET[name]],
)
def test_a_change_of_a_column_is_noted_unless_it_is_quiet(
    registry: Registry, database: sa.Engine, row: ModelRow, table: str, column: str
) -> None:
    """A change of a column is recorded, whoever writes it, unless the column is listed as quiet."""
    changed = metadata.tables[table]
    statement = sa.update(changed).values({column: other_value(changed.c[column])})

    found = noted(registry, lambda: run(database, statement))

    assert table[:-1] in {kind for kind, _ in found}


@pytest.mark.parametrize("table", sorted(TRACKED))
def test_a_removal_is_noted(registry: Registry, database: sa.Engine, row: ModelRow, table: str) -> None:
    """A deleted row of each kind is recorded, whoever deletes it."""
    assert table[:-1] in {kind for kind, _ in noted(registry, lambda: run(database, sa.delete(metadata.tables[table])))}


def test_what_a_registry_does_is_noted_by_name_or_id(registry: Registry, row: ModelRow) -> None:
    """A model's change is recorded by name, a job's and a lease's by id, and a tier's by base."""
    job = registry.enqueue("pull", row)

    assert noted(registry, lambda: registry.rename(row.id, "n")) == [("model", "m"), ("model", "n")]
    assert noted(registry, lambda: registry.claim("me", job.id)) == [("job", str(job.id)), ("model", "n")]
    assert noted(registry, lambda: registry.finish_job(job.id, "done")) == [("job", str(job.id)), ("model", "n")]
    assert noted(registry, lambda: registry.add_use(row.id, "run", 1.0)) == [("model", "n")]
    assert noted(registry, lambda: registry.bases.forget("/mnt/fast")) == [("tier", "/mnt/fast")]
    [lease] = registry.leases.all()
    assert noted(registry, lambda: registry.leases.release(lease.id)) == [("lease", str(lease.id))]


def test_what_goes_with_a_model_is_noted_too(registry: Registry, row: ModelRow) -> None:
    """The jobs and leases that are deleted with a model are recorded."""
    found = noted(registry, lambda: registry.delete_model(row.id))

    assert {kind for kind, _ in found} == {"model", "job", "lease"}


def test_a_blob_that_is_found_damaged_is_a_change_of_its_models(registry: Registry, row: ModelRow) -> None:
    """A blob that becomes damaged, or good again, is a change of its models."""
    stamps = {row_file.digest: "1:1" for row_file in registry.files("org/name", "c" * 40)}

    assert noted(registry, lambda: registry.verified.add_damage("t" * 32, stamps)) == [("model", "m")]
    assert noted(registry, lambda: registry.verified.add("t" * 32, stamps)) == [("model", "m")]


def test_how_far_a_job_is_is_not_noted(registry: Registry, row: ModelRow) -> None:
    """A job's progress and heartbeat, which change twice a second, aren't recorded."""
    job = registry.enqueue("pull", row)
    [lease] = registry.leases.all()

    assert noted(registry, lambda: registry.update_job(job.id, {"phase": "downloading", "done_bytes": 7})) == []
    assert noted(registry, lambda: registry.leases.renew(lease.id, 60)) == []


def test_what_is_rolled_back_is_not_noted(registry: Registry, database: sa.Engine, row: ModelRow) -> None:
    """A change that is rolled back isn't recorded."""

    def give_up() -> None:
        with database.connect() as connection:
            connection.execute(sa.update(models).values(pinned=True))
            connection.rollback()

    assert noted(registry, give_up) == []


def test_changes_are_kept_within_bounds(registry: Registry, database: sa.Engine, row: ModelRow) -> None:
    """The last 1,000 changes are kept, and a request for those after an older one gets no answer."""
    first = registry.changes.newest()
    with database.begin() as connection:
        for i in range(1300):
            connection.execute(sa.update(models).values(pin_reason=str(i)))

    newest = registry.changes.newest()
    assert registry.changes.after(first) is None
    assert len(registry.changes.after(newest - 900) or ()) == 900
    assert registry.changes.after(newest) == []
    with database.connect() as connection:
        assert 1000 <= connection.execute(sa.text("SELECT count(*) FROM changes")).scalar_one() <= 1100


def test_an_id_that_never_was_is_not_taken_for_one(registry: Registry, row: ModelRow) -> None:
    """An id that was never given, too small or too large, isn't accepted, because the registry was rebuilt since."""
    assert registry.changes.after(0) is None
    assert registry.changes.after(registry.changes.newest() + 1) is None


def test_ids_are_in_the_order_of_the_commits(new_postgres: Callable[[], str]) -> None:
    """On a server, ids follow the order of commits, so a listener misses no change."""
    url = new_postgres()
    registry, engine = Registry(url), make_engine(url)
    first = registry.add_model(Registration("first", "org/name", "primary"), "/mnt/fast")
    second = registry.add_model(Registration("second", "org/name", "primary"), "/mnt/fast")
    before = registry.changes.newest()
    with engine.connect() as slow:
        slow.execute(sa.update(models).where(models.c.id == first.id).values(pinned=True))
        registry.set_pin(second.id, pinned=True, reason="")
        told = registry.changes.after(before)
        assert told is not None
        slow.commit()
    later = registry.changes.after(told[-1].id)
    registry.close()
    engine.dispose()

    assert [change.key for change in told] == ["second"]
    assert [change.key for change in later or ()] == ["first"]


def test_the_quiet_columns_exist() -> None:
    """Every column in the list of quiet ones exists."""
    for table in (models, jobs, tiers, leases):
        assert QUIET[table.name] <= {column.name for column in table.c}


def test_a_change_of_a_model_tells_its_repository(registry: Registry, database: sa.Engine, row: ModelRow) -> None:
    """Models, and they alone, are recorded with their repositories, also where a row is deleted or gets another one."""
    other = registry.add_model(Registration("other", "org/other", "primary"), "/mnt/fast")
    stamps = {file.digest: "1:1" for file in registry.files("org/name", "c" * 40)}

    def told(act: Callable[[], object]) -> set[str] | None:
        newest = registry.changes.newest()
        act()
        found = registry.changes.repos_after(newest)
        return None if found is None else set(found)

    lease = {"kind": "run", "holder": "me", "owner": "me", "ttl_s": 60}
    assert told(lambda: registry.leases.take(row.id, "/mnt/fast", **lease)) == set()
    assert told(lambda: registry.rename(row.id, "new")) == {"org/name"}
    assert told(lambda: registry.enqueue("verify", other)) == {"org/other"}
    assert told(lambda: registry.verified.add_damage("t" * 32, stamps)) == {"org/name"}
    moved = sa.update(models).where(models.c.id == other.id).values(hf_path="org/moved")
    assert told(lambda: run(database, moved)) == {"org/other", "org/moved"}
    assert told(lambda: registry.delete_model(row.id)) == {"org/name"}
    assert registry.changes.repos_after(registry.changes.newest() + 1000) is None
