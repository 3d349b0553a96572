"""A snapshot that holds its own bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import snapshot
from modelshelf.store.repos.materialize import lay_out
from tests.builders import commit, digest_of, put
from tests.world import tree

DATA, OTHER = b"weights" * 100, b"{}"
FILES = [
    FileEntry("a.bin", len(DATA), digest_of("a.bin", DATA)),
    FileEntry("deep/b.bin", len(DATA), digest_of("b.bin", DATA)),
    FileEntry("config.json", len(OTHER), digest_of("config.json", OTHER)),
]
WHOLE = {"a.bin": DATA, "deep/b.bin": DATA, "config.json": OTHER}


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A base with every blob, and no snapshot yet."""
    for file, data in zip(FILES, (DATA, DATA, OTHER), strict=True):
        put(Base(tmp_path).repo("org/name").blob(file.digest), data)
    return Base(tmp_path)


def repo(base: Base) -> Repo:
    """Return the folder of the repository."""
    return base.repo("org/name")


def settle(base: Base) -> dict[str, bytes]:
    """Put the blobs in place; return the snapshot's files."""
    lay_out(base, repo(base), commit("a"), FILES, Counter(), symlinks=False)
    assert not [path for path in repo(base).snapshot(commit("a")).rglob("*") if path.is_symlink()]
    return tree(repo(base).snapshot(commit("a")))


def test_blobs_become_files(base: Base) -> None:
    """Blobs are moved into the snapshot, none stays behind, and a second call changes nothing."""
    assert settle(base) == WHOLE
    assert list(repo(base).blobs.iterdir()) == []
    before = (repo(base).snapshot(commit("a")) / "a.bin").stat()

    assert settle(base) == WHOLE
    assert (repo(base).snapshot(commit("a")) / "a.bin").stat().st_mtime_ns == before.st_mtime_ns


def test_one_of_two_names_is_enough_for_the_other(base: Base) -> None:
    """A missing file is restored from its twin in the snapshot."""
    settle(base)
    (repo(base).snapshot(commit("a")) / "deep/b.bin").unlink()

    assert settle(base) == WHOLE


def test_a_file_of_another_size_is_set_aside(base: Base) -> None:
    """A file of another size is moved into quarantine."""
    put(repo(base).snapshot(commit("a")) / "config.json", b"cut off")

    assert settle(base) == WHOLE
    assert [path.read_bytes() for path in base.quarantine.iterdir()] == [b"cut off"]


def test_what_is_nowhere_stays_missing(base: Base) -> None:
    """A file whose bytes are nowhere stays missing, and the others are put in place."""
    repo(base).blob(FILES[2].digest).unlink()

    assert settle(base) == {"a.bin": DATA, "deep/b.bin": DATA}


def test_what_a_base_holds_depends_on_its_links(base: Base, tmp_path: Path) -> None:
    """With links only blobs count; without, a snapshot's files count too; a link out of the base never does."""
    settle(base)
    where = (base, repo(base), commit("a"), FILES)
    folder = repo(base).snapshot(commit("a"))
    assert snapshot.held(*where, symlinks=True) == {}
    assert snapshot.sizes(snapshot.held(*where, symlinks=False)) == {file.digest: file.size_bytes for file in FILES}
    blob = repo(base).blob(FILES[2].digest)
    blob.symlink_to(put(tmp_path.parent / f"{tmp_path.name}-outside", OTHER))
    assert snapshot.held(*where, symlinks=True) == {}
    assert snapshot.held(*where, symlinks=False)[FILES[2].digest] == (folder / "config.json").resolve()
    blob.unlink()
    put(blob, OTHER)
    assert snapshot.held(*where, symlinks=True) == {FILES[2].digest: blob}
    assert snapshot.sizes({"x": tmp_path / "gone"}) == {}
    assert snapshot.second_bytes(FILES) == len(DATA)
