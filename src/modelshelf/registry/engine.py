"""Connections, the database's clock, and bringing a schema up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from modelshelf.errors import OutOfSpace, Unavailable
from modelshelf.registry.fast_read import SCHEMA

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOG_PAGES = 128
"""SQLite's log is written back at 512 KiB, for it counts to the limit of the tier; see `domain.plans.BESIDE_BYTES`."""


class db_now(FunctionElement[float]):  # noqa: N801 - it reads as the SQL function it is
    """The database's clock, in seconds since 1970: one clock for every process that shares the registry."""

    type = sa.Double()
    inherit_cache = True
    name = "db_now"


@compiles(db_now, "sqlite")
def _db_now_sqlite(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _db_now_postgresql(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


def make_engine(url: str) -> sa.Engine:
    """Return an engine whose transactions begin with the write lock, and that waits for others up to 30 s."""
    parsed = sa.make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": 30})
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    sa.event.listen(engine, "handle_error", _translate_sqlite)
    return engine


def _set_up_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver
    small_log = f"wal_autocheckpoint={_LOG_PAGES}"
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000", small_log):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _translate_sqlite(context: sa.ExceptionContext) -> None:
    """Raise what a person can act on: the disk of the registry is full, or another process holds on to it."""
    name = getattr(context.original_exception, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        raise OutOfSpace(
            "The disk of the registry is full: nothing more can be noted there.",
            hint="Free some space on it, then run the same command again: what arrived is kept.",
        ) from context.original_exception
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        raise Unavailable(
            "The registry cannot be opened: its file is damaged, or no SQLite database.",
            hint="Check DATABASE_URL; shelf doctor says how to set it aside and have it built anew from the disks.",
            damaged=True,
        ) from context.original_exception
    if name.startswith("SQLITE_BUSY"):
        raise Unavailable(
            "The registry is busy: another process has held its lock for half a minute.", hint="Try again."
        ) from context.original_exception


def migrate(engine: sa.Engine) -> None:
    """Bring the schema up to date.

    **Concurrency:** the whole migration is one transaction that begins with the write lock, so that of several
    processes that start at once one does it and the others find it done.

    Raises:
        Unavailable: The schema is newer than this program.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7236107)"))
        current = None
        if sa.inspect(connection).has_table("alembic_version"):
            current = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        if current != SCHEMA:
            _upgrade(connection, current)


def _upgrade(connection: sa.Connection, current: str | None) -> None:
    """Carry out the migrations that are missing; alembic takes as long to import as sqlalchemy, so only here."""
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == SCHEMA, "fast_read.SCHEMA is to name the newest migration"
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise Unavailable(
            f"The registry has schema {current}, which this version does not know.",
            hint="Another program with a newer modelshelf uses it: update this one.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
