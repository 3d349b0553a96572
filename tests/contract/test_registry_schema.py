"""The schema that the migrations make is the one that the code reads."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from modelshelf.domain.models import Registration
from modelshelf.errors import Unavailable
from modelshelf.registry import database as registry_database
from modelshelf.registry import fast_read, migrations
from modelshelf.registry.database import make_engine, upgrade
from modelshelf.registry.fast_read import SqliteReader
from modelshelf.registry.registry import Registry
from modelshelf.registry.tables import metadata

ROWS = (
    "SELECT version_num FROM alembic_version",
    "SELECT key, kind, abs(at - id) < 1, id > 1700000000 FROM changes",
)
COLUMN = ("table_name", "ordinal_position", "column_name", "data_type", "is_nullable", "column_default")
HERE = "current_schema::regnamespace"
TABLES = f"SELECT oid FROM pg_class WHERE relnamespace = {HERE}"
CATALOGUES = {
    "sqlite": (
        "SELECT type, name, tbl_name, sql FROM sqlite_master",
        "SELECT m.name, x.* FROM sqlite_master m, pragma_table_xinfo(m.name) x",
        *ROWS,
    ),
    "postgresql": (
        f"SELECT {', '.join(COLUMN)} FROM information_schema.columns WHERE table_schema = current_schema",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema",
        f"SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = {HERE}",
        f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN ({TABLES})",
        f"SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = {HERE}",
        "SELECT last_value = (SELECT max(id) FROM changes) FROM changes_id_seq",
        *ROWS,
    ),
}
"""What tells all of a database."""
LATER = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.add_column("models", sa.Column("later", sa.Text(), nullable=False, server_default=""))
"""
OPEN = "import sys; from modelshelf.registry.registry import Registry; Registry(sys.argv[1]).close()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a SQLite registry."""
    return tmp_path / "registry.db"


def test_a_fresh_database_is_what_the_tables_say(registry: Registry, database: sa.Engine) -> None:
    """A migrated database has no difference from the tables in the code, but for the indexes of adapters."""

    def is_told(item: object, name: str | None, *_: object) -> bool:
        return name not in ("ix_files_adapters", "ix_models_adapters")

    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_told})
        assert compare_metadata(context, metadata) == []


def test_a_registry_made_straight_is_the_one_that_the_migrations_make(
    url: str, tmp_path: Path, new_postgres: Callable[[], str]
) -> None:
    """Tables, indexes, triggers and first rows are the same, whichever way a database was made."""
    other = f"sqlite:///{tmp_path}/migrated.db" if url.startswith("sqlite") else new_postgres()
    Registry(url).close()
    with disposing(make_engine(other)) as engine, engine.begin() as connection:
        upgrade(connection, None)

    made, migrated = described(url), described(other)

    assert len(made) > 100
    assert made == migrated


def test_a_registry_made_straight_takes_the_next_migration(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later program's migration changes what this one made, and keeps what is in it."""
    with contextlib.closing(Registry(url)) as registry:
        row = registry.add_model(Registration("qwen", "org/name", "primary"), "/mnt/fast")
    later = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, later)
    (later / "versions" / "0002_later.py").write_text(LATER)
    monkeypatch.setattr(registry_database, "_MIGRATIONS", later)
    monkeypatch.setattr(registry_database, "SCHEMA", "0002")

    with contextlib.closing(Registry(url)) as registry:
        assert registry.models() == [row]

    assert "later" in str(described(url))


@contextlib.contextmanager
def disposing(engine: sa.Engine) -> Iterator[sa.Engine]:
    """Close an engine's connections at the end."""
    try:
        yield engine
    finally:
        engine.dispose()


def described(url: str) -> list[str]:
    """Return what a database is: its objects and its first rows, one a line."""
    with disposing(make_engine(url)) as engine, engine.begin() as connection:
        texts = CATALOGUES[connection.dialect.name]
        found = {" ".join(map(str, row)) for text in texts for row in connection.execute(sa.text(text))}
        library = connection.execute(sa.text("SELECT id FROM library")).scalar_one()
        schema = "main" if connection.dialect.name == "sqlite" else connection.scalar(sa.text("SELECT current_schema"))
    return sorted(re.sub(r"\s+", " ", one.replace(library, "ID").replace(f"{schema}.", "")) for one in found)


def test_the_fast_reader_reads_the_newest_schema() -> None:
    """The fast reader's schema is that of the newest migration."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))

    assert ScriptDirectory.from_config(config).get_heads() == [fast_read.SCHEMA]


def test_opening_again_keeps_what_is_there(registry: Registry, url: str) -> None:
    """Opening an up-to-date database again changes nothing."""
    row = registry.add_model(Registration("qwen", "org/name", "primary"), "/mnt/fast")

    again = Registry(url)

    assert again.models() == [row]
    again.close()


def test_processes_that_open_a_fresh_database_at_once_agree(url: str) -> None:
    """Of several processes that open a fresh database one makes the schema, and all can use it."""
    command = [sys.executable, "-c", OPEN, url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[1] for process in processes]

    assert [(process.returncode, text) for process, text in zip(processes, said, strict=True)] == [(0, "")] * 3
    registry = Registry(url)
    assert registry.models() == []
    registry.close()


def test_a_schema_of_a_newer_program_is_refused(registry: Registry, database: sa.Engine, url: str) -> None:
    """A schema of a newer version is refused, and nothing is downgraded."""
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Unavailable, match="has schema 9999"):
        Registry(url)


@pytest.mark.parametrize("content", ["no folder", "a folder", "no database"])
def test_a_file_that_cannot_be_opened_is_unavailable(path: Path, content: str) -> None:
    """A file that can't be opened is unavailable, and the error says what to check."""
    if content == "a folder":
        path.mkdir()
    elif content == "no database":
        path.write_bytes(b"no database at all, but long enough to be looked at as one" * 20)
    else:
        path = path.parent / "gone" / path.name

    with pytest.raises(Unavailable, match="The registry cannot be opened") as caught:
        Registry(f"sqlite:///{path}")

    assert "DATABASE_URL" in caught.value.hint


def test_a_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """A server that isn't reachable is unavailable."""
    pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg")

    with pytest.raises(Unavailable, match="The database server of the registry isn't reachable"):
        Registry(f"postgresql://nobody@/shelf?host={tmp_path}")


def test_a_registry_is_usable_for_the_fast_reader(path: Path) -> None:
    """The fast reader can use a registry, even while it is open elsewhere."""
    registry = Registry(f"sqlite:///{path}")

    assert SqliteReader(path).usable()
    registry.close()


@pytest.mark.parametrize("content", ["nothing", "no database", "no schema", "another schema"])
def test_what_the_fast_reader_cannot_read_is_left_to_the_other(path: Path, content: str) -> None:
    """The fast reader says what it can't read instead of failing later, and creates no file."""
    if content == "no database":
        path.write_bytes(b"no database" * 100)
    elif content != "nothing":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE x (y)")
            if content == "another schema":
                connection.execute("CREATE TABLE alembic_version AS SELECT '9999' AS version_num")
        connection.close()

    assert not SqliteReader(path).usable()
    assert path.exists() == (content != "nothing")
