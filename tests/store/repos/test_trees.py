"""The list of a commit's files, as huggingface_hub keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub._tree_cache import read_tree_cache, write_tree_cache

from modelshelf.domain.models import FileEntry
from modelshelf.store.layout import Base
from modelshelf.store.repos import trees
from tests.builders import commit, lay_out, put

FILES = (FileEntry("config.json", 20, "b" * 40), FileEntry("w.bin", 7, "a" * 64))


def test_the_files_are_those_that_were_laid_out(tmp_path: Path) -> None:
    """LFS files are listed by sha256 and size, others by git digest, in order of path."""
    drawn = lay_out(tmp_path, "model org/name\n commit a main\n  z.bin 30\n  a.json 4\n  deep/b.safetensors 9")

    assert list(trees.read(drawn.base.repo("org/name"), commit("a"))) == drawn.of("org/name", "a")


def test_what_is_written_is_read_again_by_huggingface_hub_too(tmp_path: Path) -> None:
    """huggingface_hub itself reads our list with every file's size and digest."""
    repo = Base(tmp_path).repo("org/name")

    trees.write(repo, commit("a"), FILES)

    assert trees.read(repo, commit("a")) == FILES
    theirs = read_tree_cache(str(repo.path), commit("a"))
    assert theirs is not None
    assert (theirs["w.bin"].lfs_sha256, theirs["w.bin"].lfs_size) == ("a" * 64, 7)
    assert (theirs["config.json"].blob_id, theirs["config.json"].size) == ("b" * 40, 20)
    write_tree_cache(str(tmp_path / "theirs"), commit("a"), theirs)
    assert (tmp_path / f"theirs/trees/{commit('a')}.json").read_bytes() == repo.tree(commit("a")).read_bytes()


@pytest.mark.parametrize(
    "listing",
    [
        pytest.param(None, id="none"),
        pytest.param("{", id="torn"),
        pytest.param([], id="no-object"),
        pytest.param({"format_version": 2, "files": {}}, id="newer-format"),
        pytest.param({"format_version": 1}, id="no-files"),
        pytest.param({"format_version": 1, "files": {"../out": {"size": 1, "blob_id": "b" * 40}}}, id="climbs-out"),
        pytest.param({"format_version": 1, "files": {"a": {"size": 1, "blob_id": "main"}}}, id="no-digest"),
        pytest.param({"format_version": 1, "files": {"a": {"size": -1, "blob_id": "b" * 40}}}, id="no-size"),
        pytest.param({"format_version": 1, "files": {"a": None}}, id="no-entry"),
    ],
)
def test_a_list_that_cannot_be_trusted_is_none(tmp_path: Path, listing: object) -> None:
    """A list that can't be trusted counts as none, and no part of it is used."""
    repo = Base(tmp_path).repo("org/name")
    if listing is not None:
        put(repo.tree(commit("a")), (listing if isinstance(listing, str) else json.dumps(listing)).encode())

    assert trees.read(repo, commit("a")) == ()


@pytest.mark.parametrize(
    ("there", "here", "then"),
    [
        pytest.param(FILES, (), FILES, id="only-there"),
        pytest.param((), FILES, FILES, id="only-here"),
        pytest.param(FILES, FILES[:1], FILES, id="short-here"),
        pytest.param(FILES[:1], FILES, FILES, id="short-there"),
        pytest.param(FILES[:1], FILES[1:], FILES, id="both-short"),
        pytest.param((), (), (), id="neither"),
    ],
)
def test_two_lists_of_one_commit_make_the_longer_one(
    tmp_path: Path, there: tuple[FileEntry, ...], here: tuple[FileEntry, ...], then: tuple[FileEntry, ...]
) -> None:
    """Two lists of one commit merge into one that misses nothing of either."""
    source, target = Base(tmp_path / "a").repo("org/name"), Base(tmp_path / "b").repo("org/name")
    for repo, files in ((source, there), (target, here)):
        if files:
            trees.write(repo, commit("a"), files)

    trees.bring(source, target, commit("a"))

    assert trees.read(target, commit("a")) == then
