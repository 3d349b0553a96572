"""Laying out a snapshot from blobs that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import FilePath, RepoId
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import trees
from modelshelf.store.repos.materialize import lay_out, list_commit
from tests.builders import commit, digest_of, put
from tests.world import tree

WHOLE = {"a.bin": b"weights" * 100, "deep/config.json": b"{}"}
FILES = [FileEntry(FilePath(path), len(data), digest_of(path, data)) for path, data in WHOLE.items()]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with every blob and no snapshot."""
    repo = Base(tmp_path).repo(RepoId("org/name"))
    for file in FILES:
        put(repo.blob(file.digest), WHOLE[file.path])
    return repo


@pytest.mark.parametrize("symlinks", [True, False], ids=["links", "files"])
def test_every_file_is_there_and_the_cache_has_its_tag(tmp_path: Path, repo: Repo, symlinks: bool) -> None:
    """A snapshot is links to blobs, or the files themselves without links; a second call changes nothing."""
    for _ in range(2):
        lay_out(Base(tmp_path), repo, commit("a"), FILES, Counter(), symlinks=symlinks)

        assert tree(repo.snapshot(commit("a"))) == WHOLE
        assert (repo.snapshot(commit("a")) / "a.bin").is_symlink() is symlinks
        assert (tmp_path / "hub/CACHEDIR.TAG").is_file()


def test_a_right_list_stays(repo: Repo) -> None:
    """A correct list of files stays, with other programs' extra fields."""
    list_commit(repo, commit("a"), FILES)
    path = repo.tree(commit("a"))
    listing = json.loads(path.read_text())
    listing["files"]["a.bin"]["xet_hash"] = "e" * 64
    path.write_text(json.dumps(listing))

    list_commit(repo, commit("a"), reversed(FILES))

    assert json.loads(path.read_text()) == listing


def test_a_short_list_is_written_anew(repo: Repo) -> None:
    """A list that lacks a file of the commit is rewritten, because other programs would not fetch that file."""
    list_commit(repo, commit("a"), FILES[:1])

    list_commit(repo, commit("a"), FILES)

    assert trees.read(repo, commit("a")) == tuple(FILES)
