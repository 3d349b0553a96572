"""A plan writes nothing: no base, no marker, no registry, no row."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from modelshelf.store.layout import Base
from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(100_000)}
KEPT = {"registry.db", "registry.db-journal", "meter.json"}
"""The registry's file, whose rows are compared instead, and what the last walk measured, which any look may renew."""

WORDS = {
    "add": ("add", "n", "org/model", "--dry-run"),
    "add elsewhere": ("add", "n", "org/model", "--to", "{root}/new", "--dry-run"),
    "adopt": ("adopt", "{root}/found", "--move", "--dry-run"),
    "adopt elsewhere": ("adopt", "{root}/found", "--move", "--to", "{root}/new", "--dry-run"),
    "gc": ("gc", "--dry-run"),
    "dedupe": ("dedupe", "--dry-run"),
    "reconcile": ("reconcile", "--dry-run"),
    "reconcile elsewhere": ("reconcile", "--base", "{root}/found", "--dry-run"),
}
OF_A_MODEL = {
    "move": ("move", "m", "secondary", "--dry-run"),
    "move elsewhere": ("move", "m", "{root}/new", "--dry-run"),
    "rm": ("rm", "m", "--files", "--dry-run"),
    "update": ("update", "m", "--dry-run"),
    "forget": ("forget", "{root}/fast", "--models", "--dry-run"),
}


def everything(home: Home) -> dict[str, tuple[object, ...]]:
    """Return every name of a home with its mode, mtime and bytes; of folders that hold the registry no mtime."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(home.root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            is_plain = path.is_file() and not path.is_symlink()
            changed_at = 0 if path == Base(home.primary).own else status.st_mtime_ns
            if name not in KEPT:
                found[str(path)] = (status.st_mode, changed_at, path.read_bytes() if is_plain else b"")
    return found


def rows(home: Home) -> list[str]:
    """Return every row of the registry; none without one."""
    if not Base(home.primary).registry.exists():
        return []
    connection = sqlite3.connect(Base(home.primary).registry)
    dump = [line for line in connection.iterdump() if "reserve" not in line]
    connection.close()
    return dump


def check_writes_nothing(home: Home, words: tuple[str, ...]) -> None:
    """Run a dry run and check that everything is as it was."""
    before = everything(home), rows(home)

    home.run(*(word.format(root=home.root) for word in words)).checked()

    after = everything(home), rows(home)
    assert {path for path in before[0].keys() | after[0].keys() if before[0].get(path) != after[0].get(path)} == set()
    assert after[1] == before[1]


@pytest.fixture
def found(home: Home, hub: FakeHub) -> Path:
    """A cache that another tool filled, beside a hub with the same model."""
    hub.add_repo("org/model", FILES)
    home.hf(home.root / "found", "download", "org/model").checked()
    return home.root / "found"


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())
def test_a_plan_before_the_first_model_makes_nothing(home: Home, found: Path, words: tuple[str, ...]) -> None:
    """A user without any library has none after it."""
    check_writes_nothing(home, words)


@pytest.mark.parametrize("words", (WORDS | OF_A_MODEL).values(), ids=(WORDS | OF_A_MODEL).keys())
def test_a_plan_changes_nothing(home: Home, found: Path, words: tuple[str, ...]) -> None:
    """Names, bytes, modes, times and rows are as before."""
    home.run("add", "m", "org/model").checked()
    home.run("tiers").checked()

    check_writes_nothing(home, words)
