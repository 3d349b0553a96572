"""A base's marker names its governor, and no other registry can take the base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelshelf.errors import Conflict
from modelshelf.store.layout import Base
from modelshelf.store.tiers import governor, marker
from modelshelf.store.tiers.governor import Governor
from tests.builders import put

SERVER = "postgresql+psycopg://me:secret@db/shelf?host=/run/db&password=secret"


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A base whose marker names no registry yet."""
    made = Base(tmp_path / "base")
    marker.reset_marker(made)
    return made


def url_in(base: Base) -> str:
    """Return the address of a registry in a base, where one exists."""
    put(base.registry, b"")
    return f"sqlite:///{base.registry}"


def test_a_base_belongs_to_the_first_registry(base: Base) -> None:
    """A base belongs to the first registry; a second one is refused, and the marker stays."""
    tier_id, url = marker.read_id(base), url_in(base)
    governor.claim(base, "one", url)
    before = base.marker.read_bytes()

    with pytest.raises(Conflict) as caught:
        governor.claim(base, "two", f"sqlite:///{base.path}.db")
    assert str(base.registry) in caught.value.detail
    assert (base.marker.read_bytes(), marker.read_id(base)) == (before, tier_id)
    assert governor.read(base) == Governor("one", "modelshelf/registry.db")
    assert governor.why_not_ours(base, "one", f"sqlite:///{base.path}.db") == ""


def test_a_registry_in_the_place_of_a_lost_one_takes_its_bases(base: Base) -> None:
    """If a registry was deleted and created again at the same path, the base belongs to the new one."""
    url = url_in(base)
    governor.claim(base, "one", url)

    governor.claim(base, "two", url)

    assert governor.read(base) == Governor("two", "modelshelf/registry.db")


def test_a_registry_that_left_its_base_is_named_where_it_is(base: Base, tmp_path: Path) -> None:
    """If a registry moved, its bases' markers get its new path."""
    governor.claim(base, "one", url_in(base))
    base.registry.rename(tmp_path / "registry.db")

    governor.claim(base, "one", f"sqlite:///{tmp_path}/registry.db")

    assert governor.read(base) == Governor("one", str(tmp_path / "registry.db"))


def test_a_registry_that_others_call_otherwise_is_not_named_again(base: Base, tmp_path: Path) -> None:
    """If a container sees the registry at another path, its id is the same and the marker keeps the host's path."""
    governor.claim(base, "one", f"sqlite:///{tmp_path}/of-the-host.db")
    before = base.marker.stat()

    governor.claim(base, "one", f"sqlite:///{tmp_path}/of-the-container.db")

    assert base.marker.stat() == before


def test_a_server_is_named_without_its_password(base: Base) -> None:
    """A marker names a registry's server without the password."""
    governor.claim(base, "one", SERVER)

    named = governor.read(base)
    assert named == Governor("one", "postgresql://me@db/shelf?host=/run/db")
    assert named.is_at(base, SERVER)
    assert named.file(base) is None
    assert not named.is_at(base, "sqlite:////x.db")
    assert not Governor("one", "x.db").is_at(base, SERVER)


def test_a_base_that_was_given_away_belongs_to_nobody(base: Base) -> None:
    """Only a base's own registry can release it, and the tier keeps its id."""
    tier_id, url = marker.read_id(base), url_in(base)
    governor.claim(base, "one", url)

    governor.release(base, "two")
    assert governor.read(base) == Governor("one", "modelshelf/registry.db")
    governor.release(base, "one")

    assert governor.read(base) is None
    assert marker.read_id(base) == tier_id


@pytest.mark.parametrize(
    "named",
    ["x", None, {}, {"id": "a"}, {"id": "a", "place": 1}, {"id": 1, "place": "a"}, {"id": "", "place": "a"}],
    ids=str,
)
def test_a_name_that_can_be_none_counts_for_nothing(base: Base, named: object) -> None:
    """An invalid name in a marker, which may come from anybody's drive, is ignored."""
    put(base.marker, json.dumps({"id": "t", "registry": named}).encode())

    assert governor.read(base) is None


@pytest.mark.parametrize("content", [b"[]", b"{"], ids=["a list", "cut off"])
def test_a_marker_that_means_nothing_names_nobody(base: Base, content: bytes) -> None:
    """A marker that can't be read names no registry and raises nothing."""
    put(base.marker, content)

    assert governor.read(base) is None


def test_a_base_that_cannot_be_written_keeps_what_it_says(base: Base) -> None:
    """The marker of a read-only base stays unchanged, and its models can be read."""
    base.marker.unlink()
    base.own.rename(base.path / "away")
    put(base.own, b"in the way")

    governor.claim(base, "one", f"sqlite:///{base.path}.db")

    assert base.own.read_bytes() == b"in the way"


def test_the_way_out_is_a_command_of_the_other_library(base: Base, tmp_path: Path) -> None:
    """Who may not change a base is told the command that lets it go, with the settings of the library that has it."""
    for url, setting in (
        (url_in(base), f"PRIMARY_CACHE_PATH={base.path} "),
        ("postgresql://host/shelf", ""),
        (f"sqlite:///{tmp_path}/registry.db", ""),
    ):
        governor.claim(base, "theirs", url)
        with pytest.raises(Conflict) as refused:
            governor.check_ours(base, "ours", "sqlite:////elsewhere/registry.db")
        assert refused.value.hint.endswith(f"(its files stay): {setting}shelf forget {base.path} --models")
        governor.release(base, "theirs")
