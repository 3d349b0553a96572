"""Connections, the database's clock, and bringing a schema up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from modelshelf.errors import Unavailable
from modelshelf.registry import faults, fresh, sqlite_file
from modelshelf.registry.fast_read import SCHEMA

_RESTART_S, _POLL_S = 20.0, 0.25
"""How long to wait for a server that is being restarted, and how often to ask it, in seconds."""
_MIGRATIONS = Path(__file__).parent / "migrations"


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
    """Return an engine whose transactions begin with the write lock, and that waits for others for up to 30 s."""
    parsed = sa.make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        return _make_server_engine(parsed)
    if parsed.database is None:
        return _make_memory_engine(parsed)
    path = Path(parsed.database)
    engine = sa.create_engine(parsed, creator=lambda: sqlite_file.connect(path))
    sa.event.listen(engine, "begin", _begin_sqlite)
    sa.event.listen(engine, "handle_error", lambda context: _translate_sqlite(context, path))
    return engine


def is_missing(url: str) -> bool:
    """Return whether a URL names a file that doesn't exist."""
    parsed = sa.make_url(url)
    return bool(parsed.get_backend_name() == "sqlite" and parsed.database and not os.access(parsed.database, os.F_OK))


def _make_memory_engine(url: sa.URL) -> sa.Engine:
    """Return an engine of a registry that ends with the process, for reading a library that doesn't exist yet."""
    how = {"check_same_thread": False, "isolation_level": None}
    engine = sa.create_engine(url, poolclass=sa.StaticPool, connect_args=how)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_server_engine(url: sa.URL) -> sa.Engine:
    """Return an engine that checks a connection before using it, and waits for a server that is being restarted."""
    engine = sa.create_engine(url, pool_pre_ping=True)
    was_there = threading.Event()

    def connect(dialect: sa.Dialect, record: object, arguments: Any, options: Any) -> Any:
        for _ in range(round(_RESTART_S / _POLL_S) if was_there.is_set() else 0):
            with contextlib.suppress(dialect.loaded_dbapi.OperationalError):
                return dialect.connect(*arguments, **options)
            time.sleep(_POLL_S)
        connection = dialect.connect(*arguments, **options)
        was_there.set()
        return connection

    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "handle_error", _translate_server)
    return engine


def _translate_server(context: sa.ExceptionContext) -> None:
    """Raise our own error: the server isn't reachable, or cut the connection."""
    lost = isinstance(context.sqlalchemy_exception, OperationalError) or context.is_disconnect
    if lost and not context.is_pre_ping:
        reason = str(context.original_exception).strip().splitlines()[0]
        raise faults.of_server(reason) from context.original_exception


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _translate_sqlite(context: sa.ExceptionContext, path: Path) -> None:
    """Raise our own error: the registry's disk is full, or another process holds it."""
    if isinstance(context.original_exception, sqlite3.Error):
        known = faults.of_sqlite(context.original_exception, path)
        if known is not None:
            raise known from context.original_exception


def keep_reserve(engine: sa.Engine) -> None:
    """Let a registry file keep what a full disk will not give; see `sqlite_file.keep_reserve`."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        sqlite_file.keep_reserve(Path(engine.url.database))


def check_room(engine: sa.Engine) -> None:
    """Raise if the disk of a registry file is nearly full; see `sqlite_file.check_room`.

    Raises:
        OutOfSpace: It is.
    """
    if engine.dialect.name == "sqlite" and engine.url.database:
        sqlite_file.check_room(Path(engine.url.database))


def migrate(engine: sa.Engine) -> None:
    """Make the schema, or bring it up to date.

    **Concurrency:** the whole migration is one transaction that begins with the write lock, so that of several
    processes that start at once one migrates and the others find it done.

    Raises:
        Unavailable: The schema is newer than this program.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7236107)"))
        if not sa.inspect(connection).has_table("alembic_version"):
            fresh.create(connection, SCHEMA)
            return
        current = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        if current != SCHEMA:
            upgrade(connection, current)


def upgrade(connection: sa.Connection, current: str | None) -> None:
    """Run the missing migrations; alembic takes as long to import as sqlalchemy, so only here.

    Args:
        connection: A transaction.
        current: The revision of the schema; None: there is none.

    Raises:
        Unavailable: The schema is newer than this program.
    """
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == SCHEMA, "fast_read.SCHEMA is to name the newest migration"
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise Unavailable(
            f"The registry has schema {current}, which this version doesn't know.",
            hint="A newer modelshelf uses it: update this one.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
