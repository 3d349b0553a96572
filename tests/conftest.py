"""Fixtures: a hub that fails on demand, and a home that neither shows nor touches the developer's files."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

from modelshelf.services.shelf import Shelf
from tests import forked
from tests.fakes.hub import FakeHub
from tests.world import Home, Result, Server

_OURS = ("HF_", "HUGGING", "SHELF_", "PRIMARY_CACHE_", "SECONDARY_CACHE_", "CACHE_", "DATABASE_URL")
_KNOBS = (
    "SHELF_CLIENTS",
    "SHELF_CONTAINERS",
    "SHELF_CRASHES",
    "SHELF_ENGINE",
    "SHELF_FILESYSTEMS",
    "SHELF_FUZZ",
    "SHELF_GPU",
    "SHELF_HOSTILE",
    "SHELF_HUGE_GB",
    "SHELF_MATRIX",
    "SHELF_SECONDS",
    "SHELF_SERIES",
    "SHELF_SOAK",
    "SHELF_WHEELS",
)
"""Settings of the tests themselves."""
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


# How long one example takes says something about the machine only.
settings.register_profile("modelshelf", deadline=None)
settings.load_profile("modelshelf")


def pytest_configure(config: pytest.Config) -> None:
    """Remove the developer's caches, tokens and proxies from this process before anything reads them.

    huggingface_hub reads its folders when it is imported, and a token of the developer's must not reach a fake hub.
    """
    for name in list(os.environ):
        if (name.startswith(_OURS) and name not in _KNOBS) or name.lower() in _PROXIES:
            del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background; children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.add_cleanup(forked.at_the_end.close)
    nowhere = tempfile.mkdtemp(prefix="modelshelf-tests-")
    config.add_cleanup(lambda: _remove(nowhere))
    os.environ["HF_HOME"] = f"{nowhere}/hf"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_UPDATE_CHECK"] = "1"
    for name in ("STATE", "CONFIG", "CACHE"):
        os.environ[f"XDG_{name}_HOME"] = f"{nowhere}/{name.lower()}"


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """An empty hub."""
    with FakeHub() as fake:
        yield fake


@pytest.fixture
def home(tmp_path: Path, hub: FakeHub) -> Iterator[Home]:
    """A user's folders and settings, with the fake hub; nothing that was started outlives the test."""
    made = Home(tmp_path / "user", hub.url)
    yield made
    for child in made.children:
        child.clear_away()


@pytest.fixture
def shelf(home: Home) -> Iterator[Shelf]:
    """The library, in this process."""
    with home.open() as opened:
        yield opened


@pytest.fixture
def cli(home: Home) -> Callable[..., Result]:
    """`python -m modelshelf …` in a child process: exit code, stdout, stderr."""
    return home.run


@pytest.fixture
def server(home: Home) -> Iterator[Server]:
    """A real server in a child process."""
    with home.serve() as started:
        yield started


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Every SQL statement sent to any registry."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield asked
    sa.event.remove(sa.Engine, "before_cursor_execute", note)
