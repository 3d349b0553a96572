"""Files in a base under our names that can't be understood."""

from __future__ import annotations

from pathlib import Path

from modelshelf.store.layout import Base
from modelshelf.store.tiers import marker, strange
from tests.builders import put
from tests.store.users import acting_as


def test_an_empty_base_has_nothing_strange(tmp_path: Path) -> None:
    """An empty base has nothing strange."""
    assert strange.find(Base(tmp_path)) == []


def test_every_file_that_says_nothing_is_named(tmp_path: Path) -> None:
    """An unreadable marker, list, sidecar or repository's folder name is reported by path."""
    base = Base(tmp_path)
    for path in (base.marker, base.meter, base.links, base.sidecars / "m.json"):
        put(path, b"[]")
    (base.hub / "models--a--b--c").mkdir(parents=True)

    found = strange.find(base)

    assert found == sorted(
        [base.hub / "models--a--b--c", base.links, base.marker, base.meter, base.sidecars / "m.json"]
    )


def test_what_may_not_be_read_is_another_finding(tmp_path: Path) -> None:
    """Another user's unreadable file isn't reported as strange."""
    base = Base(tmp_path)
    tmp_path.chmod(0o755)
    marker.reset_marker(base)
    put(base.meter, b"{}").chmod(0o600)

    with acting_as():
        found = strange.find(base)

    assert found == []


def test_what_may_not_be_entered_ends_nothing(open_path: Path) -> None:
    """A base whose `modelshelf` folder can't be entered raises nothing and reports nothing."""
    base = Base(open_path)
    marker.reset_marker(base)
    put(base.sidecars / "m.json", b"[]")
    base.own.chmod(0o700)

    with acting_as():
        assert strange.find(base) == []


def test_a_base_whose_files_all_say_something_has_nothing_strange(tmp_path: Path) -> None:
    """A marker and results as we write them aren't strange."""
    base = Base(tmp_path)
    marker.reset_marker(base)
    for path in (base.meter, base.links, base.capabilities):
        put(path, b"{}")

    assert strange.find(base) == []
