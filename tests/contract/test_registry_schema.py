"""The schema that the migrations make is the one that the code reads."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from modelshelf.domain.models import Registration
from modelshelf.errors import Unavailable
from modelshelf.registry import fast_read, migrations
from modelshelf.registry.fast_read import SqliteReader
from modelshelf.registry.registry import Registry
from modelshelf.registry.tables import metadata

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
