"""A tier on an imperfect drive works as far as it can, and refuses the rest before it begins."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from modelshelf.errors import BadInput, OutOfSpace, Unavailable
from modelshelf.services.shelf import Shelf
from modelshelf.store import locks
from modelshelf.store.layout import Base
from modelshelf.store.tiers import marker
from tests.disks import files_of
from tests.fakes.clock import FakeClock
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.store.fuse import share
from tests.world import ROOT, Home, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "deep/er/w.bin": random_bytes(40_000), "model.safetensors": random_bytes(300_000)}


def weaken(base: Path, **facts: bool) -> None:
    """Record a probe's result for a base."""
    marker.reset_marker(Base(base))
    said = {"symlinks": True, "hardlinks": True, "reflinks": False, **facts}
    words = ", ".join(f'"{name}": {str(value).lower()}' for name, value in said.items())
    Base(base).capabilities.write_text(f'{{"format": 1, {words}}}')


def is_free(path: Path) -> bool:
    """Return whether a lock is free at this moment."""
    with locks.try_lock(path.parent, path) as free:
        return free


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({"case_sensitive": False}, ("README.md", "readme.md")),
        ({"any_names": False}, ("of:4.bin", "c.bin")),
        ({"any_names": False}, ("c.bin", "odd.")),
    ],
    ids=["case", "colon", "trailing dot"],
)
def test_names_that_a_tier_cannot_have_are_refused_before_a_byte_moves(
    hub: FakeHub, home: Home, shelf: Shelf, facts: dict[str, bool], names: tuple[str, ...]
) -> None:
    """A model with file names that a tier can't have is refused by add and by move, and stays where it is."""
    files = {name: random_bytes(1000 + i) for i, name in enumerate(names)}
    hub.add_repo(REPO, files)
    weaken(home.secondary, **facts)
    shelf.register("m", REPO)
    before = hub.bytes_sent

    with pytest.raises(BadInput):
        shelf.register("other", REPO, "secondary")
    with pytest.raises(BadInput):
        shelf.move("m", "secondary")

    assert hub.bytes_sent == before
    assert files_of(home.secondary) == []
    assert [model.row.model_name for model in shelf.models()] == ["m"]
    assert tree(shelf.path("m")) == files
    assert violations(shelf) == []


def test_a_model_name_that_is_no_file_name_is_refused(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A model name that can't be its sidecar's file name, even only by case, is refused by add and by rename."""
    hub.add_repo(REPO, FILES)
    weaken(home.secondary, any_names=False, case_sensitive=False)
    shelf.register("m", REPO, "secondary")

    for name in ("llama:3b", "M"):
        with pytest.raises(BadInput, match="name"):
            shelf.register(name, REPO, "secondary")
        with pytest.raises(BadInput):
            shelf.rename("m", name)

    assert [model.row.model_name for model in shelf.models()] == ["m"]


def test_a_repository_that_differs_by_case_only_is_refused(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Two spellings of an id that differ by case are one repository of a hub, and of two hubs one folder: refused."""
    hub.add_repo(REPO, FILES)
    weaken(home.secondary, case_sensitive=False)
    shelf.register("m", REPO, "secondary")

    with FakeHub() as other:
        other.add_repo("Org/Name", FILES)
        with (
            home.open(HF_ENDPOINT=other.url) as elsewhere,
            pytest.raises(BadInput, match="org/name and Org/Name would be one"),
        ):
            elsewhere.register("n", "Org/Name", "secondary")


def test_a_model_that_the_secondary_cannot_hold_does_not_leave_for_another(
    hub: FakeHub, home: Home, shelf: Shelf
) -> None:
    """A model that the secondary can't hold isn't evicted; another one is, or the error says that there is no room."""
    odd = {"of:4.bin": random_bytes(2_000_000, 1)}
    hub.add_repo(REPO, odd)
    hub.add_repo("org/plain", {"model.safetensors": random_bytes(2_000_000, 2)})
    hub.add_repo("org/more", {"model.safetensors": random_bytes(2_000_000, 3)})
    weaken(home.secondary, any_names=False)
    shelf.register("odd", REPO)

    with home.open(PRIMARY_CACHE_LIMIT_GB="0.004") as limited, pytest.raises(OutOfSpace):
        limited.register("plain", "org/plain")

    assert (shelf.model("odd").base, tree(shelf.path("odd"))) == (str(home.primary), odd)
    shelf.register("plain", "org/plain")
    with home.open(PRIMARY_CACHE_LIMIT_GB="0.0063") as limited:
        limited.register("more", "org/more")
        bases = {model.row.model_name: model.base for model in limited.models()}
    assert bases == {"odd": str(home.primary), "plain": str(home.secondary), "more": str(home.primary)}
    assert violations(shelf) == []


def test_a_registry_on_a_share_is_refused_before_anything_is_written(hub: FakeHub, home: Home, tmp_path: Path) -> None:
    """A registry on a network mount is refused with a DATABASE_URL that then works."""
    hub.add_repo(REPO, FILES)
    with share(tmp_path / "nas") as mounted:
        base = mounted.path / "base"
        refused = home.run("add", "m", REPO, "--json", PRIMARY_CACHE_PATH=str(base))

        assert (refused.code, base.exists()) == (2, False)
        assert f"fuse.sshfs ({tmp_path}/nas/behind at {mounted.path})" in refused.problem["detail"]
        url = refused.problem["database_url"]
        assert url == f"sqlite:///{home.root}/state/modelshelf/registry.db"
        home.run("add", "m", REPO, PRIMARY_CACHE_PATH=str(base), DATABASE_URL=url).checked()
        path = home.run("path", "m", PRIMARY_CACHE_PATH=str(base), DATABASE_URL=url).checked().out.strip()
        assert tree(Path(path)) == FILES
        said = home.run("tiers", PRIMARY_CACHE_PATH=str(base), DATABASE_URL=url).checked().out
        assert "network mount (fuse.sshfs)" in said
        assert not Base(base).registry.exists()


def test_tiers_says_what_a_drive_cannot(home: Home, shelf: Shelf) -> None:
    """`tiers` has one plain line for each weakness, and the facts as JSON."""
    weaken(home.secondary, symlinks=False, hardlinks=False, case_sensitive=False, any_names=False, locks=False)

    said = home.run("tiers").checked().out
    first, second = home.run("tiers", "--json").checked().json

    for words in ("no symbolic links", "no hard links", "case-insensitive", "cannot be written", "locks don't work"):
        assert said.count(words) == 1
    assert (first["capabilities"]["symlinks"], second["capabilities"]["symlinks"]) == (True, False)
    assert len(second["capabilities"]["weaknesses"]) == 5


def test_a_lock_on_a_share_that_hangs_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """A lock on a network mount that hangs is an error that names both, and a lock that comes late is released."""
    with share(tmp_path) as mounted:
        lock = mounted.path / "x.lock"
        os.kill(mounted.pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable) as refused, locks.try_lock(lock.parent, lock, hang_s=0.2):
                pass
        finally:
            os.kill(mounted.pid, signal.SIGCONT)

        assert str(lock) in refused.value.detail
        assert f"fuse.sshfs ({tmp_path}/behind at {mounted.path}) hangs" in refused.value.detail
        wait_until(lambda: is_free(lock), "the lock that came too late to be given back")


WITHOUT_FLOCK = """
import sys
from modelshelf.cli.main import main
from tests.no_flock import take_flock_away
take_flock_away()
main(sys.argv[1:])
"""


def test_a_library_works_where_no_lock_can_be_had(hub: FakeHub, home: Home) -> None:
    """If every lock fails with ENOLCK, models are still added, moved and removed, and `tiers` says what is missing."""
    hub.add_repo(REPO, FILES)
    home.extra["PYTHONPATH"] = os.pathsep.join([home.environ()["PYTHONPATH"], str(ROOT)])

    for words in ("add m org/name", "verify m", "move m secondary", "gc"):
        home.python(WITHOUT_FLOCK, *words.split()).checked()
    [files] = home.python(WITHOUT_FLOCK, "ls", "--json").checked().json
    tiers = home.python(WITHOUT_FLOCK, "tiers").checked()
    home.python(WITHOUT_FLOCK, "rm", "m", "--files").checked()

    assert (files["state"], files["cache_location"]) == ("ready", "secondary")
    assert "locks don't work" in tiers.out
    assert files_of(home.secondary) == []


def test_a_lock_on_a_share_excludes_others(tmp_path: Path) -> None:
    """A lock on a network mount excludes others while the mount answers."""
    with share(tmp_path) as mounted:
        with (
            locks.try_lock(mounted.path, mounted.path / "x.lock") as first,
            locks.try_lock(mounted.path, mounted.path / "x.lock") as second,
        ):
            assert (first, second) == (True, False)
        with locks.try_lock(mounted.path, mounted.path / "x.lock") as again:
            assert again


def test_what_fails_on_a_share_fails_as_elsewhere(tmp_path: Path) -> None:
    """An error of the file system passes through the thread that bounds the call."""
    with (
        share(tmp_path, "ro") as mounted,
        pytest.raises(Exception, match=r"Read-only"),
        locks.try_lock(mounted.path, mounted.path / "deep" / "x.lock"),
    ):
        pass


def test_a_lock_that_somebody_holds_on_a_share_is_waited_for_five_minutes(tmp_path: Path) -> None:
    """A held lock on a network mount is waited for at most five minutes, and the error names the mount."""
    clock = FakeClock()
    with share(tmp_path) as mounted:
        path = mounted.path / "x.lock"
        with (
            locks.try_lock(path.parent, path),
            pytest.raises(Unavailable, match=r"x\.lock on fuse\.sshfs \(.*for 300 s"),
            locks.wait_lock(path.parent, path, clock, 3600.0),
        ):
            pass
