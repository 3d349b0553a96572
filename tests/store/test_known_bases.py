"""The user's list of known bases and libraries."""

from __future__ import annotations

from pathlib import Path

from modelshelf.store.known_bases import KnownBases, KnownLibraries
from modelshelf.store.layout import Base

BASE = Base(Path("/mnt/fast"))


def test_a_base_is_known_until_it_is_forgotten(tmp_path: Path) -> None:
    """A base is known until it is forgotten, and forgetting it keeps the others."""
    known = KnownBases(tmp_path)
    known.remember(BASE, "id")
    known.remember(Base(Path("/mnt/slow")), "other")

    known.forget(BASE)

    assert known.load() == {"/mnt/slow": "other"}


def test_a_library_is_known_with_its_settings_until_it_is_forgotten(tmp_path: Path) -> None:
    """A library is known with its settings file until it is forgotten; one from the environment has no file."""
    known = KnownLibraries(tmp_path)
    known.remember(BASE, Path("/home/me/.env"))
    known.remember(Base(Path("/mnt/slow")), None)
    both = known.load()

    known.forget(BASE)

    assert both == {"/mnt/fast": "/home/me/.env", "/mnt/slow": ""}
    assert known.load() == {"/mnt/slow": ""}
