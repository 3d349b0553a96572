"""How long a server goes on taking keys while it can't ask the registry about them."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from modelshelf.domain.keys import Scope
from modelshelf.errors import Unavailable
from modelshelf.registry.keys import Keys
from modelshelf.registry.tables import metadata
from modelshelf.services.access.keys import KeyRing, add_key

SETTING = "hf_the_setting"


class Clock:
    """A clock that the test turns."""

    now_s = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def test_without_the_registry_keys_end_after_five_minutes(tmp_path: Path) -> None:
    """While the registry is away its keys are taken for five minutes, then refused; SHELF_API_KEY always works."""
    database = tmp_path / "registry.db"
    engine = sa.create_engine(f"sqlite:///{database}", poolclass=sa.NullPool)
    metadata.create_all(engine)
    clock = Clock()
    ring = KeyRing(Keys(engine), SETTING, clock)
    key = add_key(Keys(engine), "laptop", frozenset({Scope.READ})).encode()
    ring.refresh()
    database.rename(tmp_path / "away")
    database.mkdir()

    def names_after(seconds: float) -> str:
        clock.now_s = 1000 + seconds
        ring.refresh()
        found = ring.find(key)
        return found.name if found else ""

    assert [names_after(seconds) for seconds in (0, 3, 299)] == ["laptop", "laptop", "laptop"]
    with pytest.raises(Unavailable, match="can't tell which API keys are still good"):
        names_after(301)
    assert ring.find(SETTING.encode()) is not None
    database.rmdir()
    (tmp_path / "away").rename(database)
    assert names_after(310) == "laptop"
