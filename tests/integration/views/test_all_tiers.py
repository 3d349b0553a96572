"""The view of all tiers in the primary's own hub: one HF_HOME finds every model, wherever it goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelshelf.domain.names import ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.errors import BadInput, Conflict
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import meter
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, load_offline, random_bytes, tree

REPO = "org/name"
FILES = {"config.json": b"{}", "deep/w.bin": random_bytes(5000, seed=2), "model.safetensors": random_bytes(900_000)}


@pytest.fixture
def library(hub: FakeHub, shelf: Shelf, home: Home) -> Shelf:
    """A library with a model on the secondary, and the view in the primary."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "secondary")
    status = shelf.services.views.add(ViewKind.HF, ViewRoot(str(home.primary)), None)
    assert status.state is ViewState.TRUE
    return shelf


def check(library: Shelf, home: Home, *, viewed: bool) -> None:
    """Assert that HF_HOME=primary has the whole model, by links or itself, and that everything holds."""
    assert tree(load_offline(home, home.primary, REPO)) == tree(library.path("m")) == FILES
    assert len(scan.viewed(Base(home.primary).repo(REPO))) == (len(FILES) if viewed else 0)
    assert {status.state for status in library.services.views.all()} == {ViewState.TRUE}
    assert library.verify().findings == ()
    assert violations(library) == []


def test_a_model_stays_in_one_hf_home_wherever_it_goes(library: Shelf, home: Home, hub: FakeHub) -> None:
    """A model is found in HF_HOME=primary on the secondary, on the primary, and on the secondary again."""
    check(library, home, viewed=True)
    used = meter.measure(Base(home.primary)).apparent_bytes

    library.move("m", "primary")
    check(library, home, viewed=False)
    library.move("m", "secondary")
    check(library, home, viewed=True)
    assert abs(meter.measure(Base(home.primary)).apparent_bytes - used) < 100_000

    sent = hub.bytes_sent
    home.hf(home.primary, "download", REPO).checked()
    assert hub.bytes_sent - sent < 9000
    assert REPO in home.hf(home.primary, "cache", "ls").checked().out
    home.hf(home.primary, "cache", "verify", REPO).checked()
    library.remove("m", delete_files=True)
    assert not Base(home.primary).repo(REPO).path.exists()
    assert violations(library) == []


def test_a_pull_into_the_primary_takes_no_link_for_bytes(library: Shelf, home: Home, hub: FakeHub) -> None:
    """A second name of the same commit on the primary is downloaded; when it goes, the links are back."""
    library.register("again", REPO, "primary")
    check(library, home, viewed=False)
    assert violations(library) == []

    library.remove("again", delete_files=True)
    check(library, home, viewed=True)


def test_two_commits_of_one_repository_on_two_tiers(library: Shelf, home: Home, hub: FakeHub) -> None:
    """Blobs that two commits share are real while one needs them on the primary, and links afterwards."""
    hub.add_repo(REPO, {**FILES, "config.json": b"{1}"})
    library.register("new", REPO, "primary")
    new, repo = library.path("new"), Base(home.primary).repo(REPO)
    assert tree(load_offline(home, home.primary, REPO)) == tree(new)
    assert len(scan.viewed(repo)) == 1
    assert tree(repo.snapshot(library.model("m").row.commit_hash)) == FILES
    assert violations(library) == []

    library.move("new", "secondary")

    assert (len(scan.viewed(repo)), scan.blob_sizes(repo)) == (4, {})
    assert tree(repo.snapshot(library.model("m").row.commit_hash)) == FILES
    assert violations(library) == []


def test_what_a_stock_program_removes_comes_back(library: Shelf, home: Home) -> None:
    """`hf cache rm` with HF_HOME=primary deletes links alone; reconcile brings them back."""
    home.hf(home.primary, "cache", "rm", f"model/{REPO}", "-y").checked()
    assert tree(library.path("m")) == FILES

    library.reconcile()

    check(library, home, viewed=True)


def test_with_the_drive_away_a_stock_program_fetches(library: Shelf, home: Home, hub: FakeHub) -> None:
    """While the drive is away, offline says what is missing, and online real files come over the links."""
    away = home.secondary.with_name("away")
    home.secondary.rename(away)
    library.reconcile()
    assert home.hf(home.primary, "download", REPO, HF_HUB_OFFLINE="1").code != 0

    home.hf(home.primary, "download", REPO).checked()

    repo = Base(home.primary).repo(REPO)
    assert (scan.viewed(repo), len(scan.blob_sizes(repo))) == (frozenset(), 3)
    shutil.rmtree(home.secondary, ignore_errors=True)
    away.rename(home.secondary)
    assert tree(load_offline(home, home.primary, REPO)) == FILES
    assert violations(library) == []

    library.reconcile()

    check(library, home, viewed=True)
    assert scan.blob_sizes(repo) == {}


def test_nothing_is_merged_with_a_damaged_copy(library: Shelf, home: Home) -> None:
    """If the copy on the secondary is damaged, the one that a program fetched stays; after the repair it goes."""
    repo, other = Base(home.primary).repo(REPO), Base(home.secondary).repo(REPO)
    for link in repo.blobs.iterdir():
        data = link.read_bytes()
        link.unlink()
        link.write_bytes(data)
    (weights,) = [blob for blob in other.blobs.iterdir() if blob.stat().st_size == 900_000]
    weights.write_bytes(random_bytes(900_000, seed=9))

    library.reconcile()
    assert len(scan.blob_sizes(repo)) == 3
    library.verify(repair=True)
    library.reconcile()

    check(library, home, viewed=True)


def test_the_view_and_its_links_can_be_removed(library: Shelf, home: Home) -> None:
    """Without the view nothing is left of it, and the model is as it was."""
    library.services.views.remove(ViewKind.HF, ViewRoot(str(home.primary)))

    assert not Base(home.primary).repo(REPO).path.exists()
    assert tree(library.path("m")) == FILES


def test_no_other_base_has_such_a_view(library: Shelf, home: Home) -> None:
    """A view of all tiers is in the primary, or outside all bases."""
    with pytest.raises(BadInput, match="inside the base"):
        library.services.views.add(ViewKind.HF, ViewRoot(str(home.secondary)), None)
    assert Path(home.primary, "hub").is_dir()


def test_the_settings_keep_views_without_asking(library: Shelf, home: Home, hub: FakeHub) -> None:
    """Without a command one HF_HOME and `cache_dir=BASE` find the models of all tiers; with an empty VIEWS links go."""
    place = ViewRoot(str(home.primary))
    library.services.views.remove(ViewKind.HF, place)
    hub.add_repo("org/two", FILES)
    bases = home.primary, home.secondary

    with home.open() as kept:
        kept.register("two", "org/two", "primary")
        states = {(status.view.kind, status.view.root): status.state for status in kept.services.views.all()}
        assert set(states.values()) == {ViewState.TRUE}
        assert set(states) == {(ViewKind.HF, place), *((ViewKind.CACHE_DIR, str(base)) for base in bases)}
        assert tree(load_offline(home, home.primary, REPO)) == FILES
        assert tree(home.primary / "models--org--two/snapshots") == tree(kept.path("two").parent)
        assert tree(home.primary / "models--org--name/snapshots") == tree(kept.path("m").parent)
        assert not (home.secondary / "models--org--two").is_symlink()
        with pytest.raises(Conflict, match="one of VIEWS"):
            kept.services.views.remove(ViewKind.HF, place)
        assert violations(kept) == []

    with home.open(VIEWS="") as off:
        off.reconcile()
        assert off.services.views.all() == []
        assert not Base(home.primary).repo(REPO).path.exists()
        assert [path.name for path in home.primary.iterdir() if path.is_symlink() or path.name == "blobs"] == []


def test_a_view_that_a_person_asked_for_outlives_the_settings(library: Shelf, home: Home) -> None:
    """Where a person asked for a view that VIEWS names, it stays when VIEWS no longer names it."""
    library.reconcile()
    with home.open(VIEWS="") as off:
        off.reconcile()
        check(off, home, viewed=True)
