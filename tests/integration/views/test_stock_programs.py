"""The real huggingface_hub with views as its HF_HOME and its cache_dir."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.names import ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.errors import BadInput, Conflict
from modelshelf.services.shelf import Shelf
from modelshelf.store.adopt import inventory
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import checkup, meter
from tests.fakes.hub import FakeHub
from tests.invariants import du, violations
from tests.world import Home, load_offline, random_bytes, tree

FILES = {"config.json": b"{}", "deep/w.bin": random_bytes(5000, seed=2), "model.safetensors": random_bytes(9000)}
IN_CACHE_DIR = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], cache_dir=sys.argv[2], local_files_only=len(sys.argv) > 3))
"""


@pytest.fixture
def library(hub: FakeHub, shelf: Shelf) -> Shelf:
    """A library with a model on each tier."""
    for number, name in enumerate(("one", "two")):
        hub.add_repo(f"org/{name}", {**FILES, "n.txt": bytes([number])})
        shelf.register(name, f"org/{name}", "primary" if name == "one" else "secondary")
    return shelf


@pytest.fixture
def hf_home(library: Shelf, home: Home) -> Iterator[Path]:
    """An HF_HOME that shows the models of both tiers; afterwards only what isn't ours is in it."""
    root = home.root / "all"
    assert library.services.views.add(ViewKind.HF, ViewRoot(str(root)), None).state is ViewState.TRUE
    yield root
    library.services.views.remove(ViewKind.HF, ViewRoot(str(root)))
    left = [path for path in scan.walk_files(root) if path.is_symlink()]
    assert not [path for path in left if path.readlink().is_absolute()]


def test_one_hf_home_shows_all_tiers(library: Shelf, home: Home, hub: FakeHub, hf_home: Path) -> None:
    """Offline, online and for `hf cache ls` every model is in one HF_HOME, and no byte is fetched again."""
    sent = hub.bytes_sent
    for name, base in (("one", home.primary), ("two", home.secondary)):
        found = load_offline(home, hf_home, f"org/{name}")
        assert tree(found) == tree(library.path(name))
        assert base in (found / "model.safetensors").resolve().parents
        home.hf(hf_home, "download", f"org/{name}").checked()
    listed = home.hf(hf_home, "cache", "ls").checked().out
    assert ("org/one" in listed, "org/two" in listed) == (True, True)
    assert hub.bytes_sent - sent < 9000
    assert {status.state for status in library.services.views.all()} == {ViewState.TRUE}


def test_a_program_s_removal_leaves_the_library_alone(library: Shelf, home: Home, hf_home: Path) -> None:
    """`hf cache rm` in such an HF_HOME deletes links, never a file of a tier; the next sync brings them back."""
    home.hf(hf_home, "cache", "rm", "model/org/two", "-y").checked()

    assert tree(library.path("two")).keys() == {*FILES, "n.txt"}
    assert violations(library) == []
    library.services.views.sync()
    assert tree(load_offline(home, hf_home, "org/two")) == tree(library.path("two"))


def test_a_newer_commit_comes_beside_the_links(library: Shelf, home: Home, hub: FakeHub, hf_home: Path) -> None:
    """A newer commit that a program fetches through a view is its own: files of no tier are written."""
    before = tree(library.path("two"))
    hub.add_repo("org/two", {**FILES, "new.bin": b"new"})
    home.hf(hf_home, "download", "org/two").checked()

    assert tree(load_offline(home, hf_home, "org/two"))["new.bin"] == b"new"
    assert tree(library.path("two")) == before
    assert violations(library) == []


def test_code_that_says_cache_dir_finds_the_models(library: Shelf, home: Home, hub: FakeHub) -> None:
    """With `cache_dir=BASE` the models of that base load offline, and a newer commit arrives in its hub folder."""
    root = ViewRoot(str(home.primary))
    states = {status.view.root: status for status in library.services.views.all() if status.view.kind == "cache_dir"}
    assert {status.state for status in states.values()} == {ViewState.TRUE}
    assert sorted(states[root].view.made) == ["blobs", "models--org--one", "models--org--two"]
    for name in ("one", "two"):
        said = home.python(IN_CACHE_DIR, f"org/{name}", root, "offline", HF_HUB_OFFLINE="1").checked().out.strip()
        assert tree(Path(said)) == tree(library.path(name))

    said = home.python(IN_CACHE_DIR, "org/one", root, "offline", HF_HUB_OFFLINE="1").checked().out.strip()
    assert tree(Path(said)) == tree(library.path("one"))
    hub.add_repo("org/one", {**FILES, "new.bin": b"new"})
    home.python(IN_CACHE_DIR, "org/one", root).checked()
    assert tree(load_offline(home, home.primary, "org/one"))["new.bin"] == b"new"
    assert not [path for path in scan.walk_files(home.primary) if path.is_symlink() and not path.exists()]

    library.move("one", "secondary")
    said = home.python(IN_CACHE_DIR, "org/one", root, "offline", HF_HUB_OFFLINE="1").checked().out.strip()
    assert tree(Path(said))["new.bin"] == b"new"
    with home.open(VIEWS="") as off:
        off.reconcile()
    assert not [path for path in home.primary.iterdir() if path.is_symlink() or path.name == "blobs"]


def test_the_links_of_a_cache_dir_are_known_for_what_they_are(library: Shelf, home: Home) -> None:
    """The doctor, adopt and the meter pass over links beside `hub`, and gc leaves them."""
    base = Base(home.primary)
    usage = meter.measure(base)

    assert (usage.apparent_bytes, usage.allocated_bytes) == du(home.primary)
    assert checkup.strays(base) == []
    assert inventory.stray_dirs(base) == []
    found = inventory.find(home.primary)
    assert {model.repo_id for model in found.models} == {"org/one"}
    assert not [thing for thing in found.things if "models--" in thing.path]
    assert library.verify().findings == ()
    library.gc()
    library.reconcile()
    assert (home.primary / "models--org--one/snapshots").is_dir()
    assert violations(library) == []


def test_where_no_cache_dir_can_be(library: Shelf, home: Home) -> None:
    """A folder that isn't a base can't be such a view, nor one with a store that links couldn't lead to."""
    home.extra["VIEWS"] = ""
    with home.open() as off:
        off.reconcile()
        check_refused(off, home)


def check_refused(library: Shelf, home: Home) -> None:
    """Assert that a view is refused where it can't be, and that none is there."""
    views = library.services.views
    with pytest.raises(BadInput, match="isn't a base"):
        views.add(ViewKind.CACHE_DIR, ViewRoot(str(home.root / "x")), None)
    (home.primary / "blobs").mkdir()
    with pytest.raises(Conflict, match="a store of huggingface_hub"):
        views.add(ViewKind.CACHE_DIR, ViewRoot(str(home.primary)), None)
    assert views.all() == []
