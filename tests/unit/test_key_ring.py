"""How long a server goes on taking keys while it can't ask the registry about them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelshelf.domain.keys import ApiKey, Scope
from modelshelf.errors import Unavailable
from modelshelf.registry.keys import Keys
from modelshelf.registry.tables import metadata
from modelshelf.server.fresh_keys import FreshKeys
from modelshelf.services.access.keys import KeyRing, add_key

SETTING = "hf_the_setting"


class Clock:
    """A clock that the test turns."""

    now_s = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    """A registry."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'registry.db'}", poolclass=sa.NullPool)
    metadata.create_all(engine)
    return engine


def test_a_new_key_is_known_at_once(engine: sa.Engine) -> None:
    """A key that was made since the last read is found."""
    keys = FreshKeys(KeyRing(Keys(engine), None))

    async def found_at_once() -> ApiKey | None:
        await keys.refresh()
        assert await keys.find(b"wrong") is None
        return await keys.find(add_key(Keys(engine), "laptop", frozenset({Scope.READ})).encode())

    found = asyncio.run(found_at_once())

    assert found is not None
    assert found.name == "laptop"


def test_wrong_keys_share_a_read(engine: sa.Engine) -> None:
    """A hundred wrong keys at one moment read the registry once, and the next ones wait for their turn."""
    clock, reads = Clock(), []
    ring = KeyRing(Keys(engine), None, clock)
    ring.refresh()
    clock.now_s += 1
    sa.event.listen(engine, "before_cursor_execute", lambda *said: reads.append(said[2]))

    async def ask() -> list[ApiKey | None]:
        keys = FreshKeys(ring)
        return await asyncio.gather(*(keys.find(b"wrong %d" % number) for number in range(100)))

    assert asyncio.run(ask()) == [None] * 100
    assert len(reads) == 1
    clock.now_s += 0.04
    assert ring.due_in(clock.now_s) == pytest.approx(0.06)


def test_what_is_no_key_is_looked_up_once(engine: sa.Engine) -> None:
    """The same wrong key, or a token of the hub that a client sends with each request, reads the registry once."""
    clock, reads = Clock(), []
    ring = KeyRing(Keys(engine), None, clock)
    ring.refresh()
    sa.event.listen(engine, "before_cursor_execute", lambda *said: reads.append(said[2]))

    async def ask() -> None:
        keys = FreshKeys(ring)
        for _ in range(5):
            clock.now_s += 0.2
            assert await keys.find(b"hf_token") is None

    asyncio.run(ask())

    assert len(reads) == 1


def test_without_the_registry_no_unknown_key_reads_it(tmp_path: Path) -> None:
    """While the registry is away an unknown key doesn't ask for it again."""
    ring = KeyRing(Keys(sa.create_engine(f"sqlite:///{tmp_path}", poolclass=sa.NullPool)), None, Clock())

    ring.refresh()

    assert ring.due_in(ring.now() + 1) is None


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
