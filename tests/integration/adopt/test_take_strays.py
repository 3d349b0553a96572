"""What code with `cache_dir=BASE` downloads is taken into `hub`, registered, and a link stays in its place."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "deep/w.bin": random_bytes(5000, seed=2), "model.safetensors": random_bytes(90_000)}
FETCH = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], cache_dir=sys.argv[2], local_files_only=len(sys.argv) > 3))
"""


@pytest.fixture
def library(hub: FakeHub, shelf: Shelf) -> Shelf:
    """A library without models, and a hub with one."""
    hub.add_repo(REPO, FILES)
    shelf.tiers()
    return shelf


def fetch(home: Home, base: Path, repo_id: str = REPO) -> Path:
    """Let the real huggingface_hub download with `cache_dir=BASE`; return the repository's folder there."""
    home.python(FETCH, repo_id, str(base)).checked()
    return base / f"models--{repo_id.replace('/', '--')}"


def age(folder: Path) -> None:
    """Let everything below a folder have been written two minutes ago."""
    for path in (*folder.rglob("*"), folder):
        old = path.lstat().st_mtime - 120
        os.utime(path, (old, old), follow_symlinks=False)


def take(shelf: Shelf) -> None:
    """Do what a server does once an hour."""
    for job in shelf.services.adopter.enqueue_strays():
        shelf.services.runner.finish(job)
    shelf.services.views.keep_true(look=True)


def check(home: Home, shelf: Shelf, base: Path, name: str = "name") -> None:
    """Assert that a model is registered, whole in hub, and found by both ways to say where."""
    model = shelf.model(name)
    assert (model.base, str(model.state)) == (str(base), "ready")
    beside = base / "models--org--name"
    assert str(beside.readlink()) == "hub/models--org--name"
    assert tree(load_offline(home, base, REPO)) == FILES
    said = home.python(FETCH, REPO, str(base), "offline", HF_HUB_OFFLINE="1").checked().out.strip()
    assert tree(Path(said)) == FILES
    states = {(s.view.kind, s.view.root): s.state for s in shelf.services.views.all()}
    assert states[ViewKind.CACHE_DIR, str(base)] is ViewState.TRUE
    assert violations(shelf) == []


@pytest.mark.parametrize("tier", ["primary", "secondary"])
def test_a_stray_moves_into_hub(library: Shelf, home: Home, hub: FakeHub, tier: str) -> None:
    """A download with cache_dir=BASE is found by HF_HOME=BASE as well, and by the same code without a byte fetched."""
    base = home.primary if tier == "primary" else home.secondary
    base.mkdir(exist_ok=True)
    library.services.tiers.open(library.services.tiers.settings.resolve(tier, None))
    age(fetch(home, base))
    inodes = {path.stat().st_ino for path in base.rglob("*") if path.is_file() and path.stat().st_size == 90_000}
    sent = hub.bytes_sent

    take(library)

    check(home, library, base)
    (weights,) = {path.resolve() for path in Base(base).hub.rglob("*") if path.is_file() and path.stat().st_size > 9000}
    assert {weights.stat().st_ino} == inodes
    fetch(home, base)
    assert hub.bytes_sent - sent < 9000
    check(home, library, base)


def test_a_stray_is_merged_with_what_is_registered(library: Shelf, home: Home) -> None:
    """A second copy beside a registered model goes, on its tier and where a view shows one on the other."""
    library.register("name", REPO, "secondary")
    for base in (home.primary, home.secondary):
        (base / "models--org--name").unlink()
        age(fetch(home, base))

    take(library)

    check(home, library, home.secondary)
    assert tree(load_offline(home, home.primary, REPO)) == FILES
    assert str((home.primary / "models--org--name").readlink()) == "hub/models--org--name"
    assert max(path.lstat().st_size for path in Base(home.primary).hub.rglob("*")) < 90_000
    assert violations(library) == []


def test_a_newer_commit_comes_beside_the_registered_one(library: Shelf, home: Home, hub: FakeHub) -> None:
    """A stray with a newer commit of a registered model is registered too; the first one stays pinned to its own."""
    library.register("name", REPO)
    first = library.model("name").row.commit_hash
    (home.primary / "models--org--name").unlink()
    newer = hub.add_repo(REPO, {**FILES, "new.bin": b"new"})
    age(fetch(home, home.primary))

    take(library)

    commits = {model.row.commit_hash: model for model in library.models()}
    assert commits.keys() == {first, newer}
    assert tree(library.path("name")) == FILES
    assert tree(Path(commits[newer].path)) == {**FILES, "new.bin": b"new"}
    assert (home.primary / "models--org--name").is_symlink()
    assert violations(library) == []


@contextmanager
def _locked(stray: Path) -> Iterator[None]:
    lock = next((stray.parent / ".locks" / stray.name).glob("*.lock"))
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _open(stray: Path) -> Iterator[None]:
    with next(path for path in stray.rglob("*.safetensors")).open("rb"):
        yield


@contextmanager
def _written(stray: Path) -> Iterator[None]:
    part = stray / "blobs/0123.abcdef01.incomplete"
    part.write_bytes(b"half")
    yield
    part.unlink()


@pytest.mark.parametrize("busy", [_locked, _open, _written], ids=["locked", "open", "written"])
def test_nothing_is_taken_while_a_program_works(library: Shelf, home: Home, busy: object) -> None:
    """While a program downloads, reads or has just written, the folder stays as it is."""
    stray = fetch(home, home.primary)
    age(stray)
    with busy(stray):  # type: ignore[operator]
        before = tree(stray)
        take(library)
        assert not stray.is_symlink()
        assert (tree(stray), library.models()) == (before, [])
    age(stray)

    take(library)

    check(home, library, home.primary)


def test_damaged_bytes_stay_and_are_not_registered(library: Shelf, home: Home) -> None:
    """A stray with a flipped byte isn't registered, and nothing of it is lost."""
    stray = fetch(home, home.primary)
    weights = next(path for path in home.primary.rglob("*") if path.lstat().st_size == 90_000)
    weights.chmod(0o644)
    weights.write_bytes(random_bytes(90_000, seed=9))
    age(home.primary)

    take(library)

    assert library.models() == []
    assert [p for p in home.primary.rglob("*") if p.is_file() and p.read_bytes() == random_bytes(90_000, seed=9)]
    assert stray.parent == home.primary


def test_the_doctor_takes_strays_in(library: Shelf, home: Home) -> None:
    """`shelf doctor` names a stray and `--fix` takes it in; afterwards it names none."""
    age(fetch(home, home.primary))
    found = home.run("doctor", "--json").json
    (finding,) = [one for one in found["findings"] if one["topic"] == "layout"]
    assert (finding["command"], "outside hub/" in finding["detail"]) == ("shelf doctor --fix", True)

    fixed = home.run("doctor", "--fix", "--json").json

    assert "name: taken into hub and registered." in fixed["fixed"]
    assert [one for one in fixed["findings"] if one["topic"] == "layout"] == []
    check(home, library, home.primary)


def test_a_server_takes_in_what_other_programs_downloaded(library: Shelf, home: Home) -> None:
    """Nobody asks for it: a server finds it seconds after its start, in a thread that holds up no job."""
    stray = fetch(home, home.primary)
    age(stray)

    with home.serve() as server:
        wait_until(lambda: [job["state"] for job in server.get("/api/jobs")] == ["done"], "its job to be done")

    check(home, library, home.primary)
