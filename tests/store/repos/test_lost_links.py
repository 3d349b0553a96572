"""Snapshots that lost their links: what can be linked again, and what is never replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.store.layout import Repo
from modelshelf.store.repos import lost_links
from modelshelf.store.repos.names import RepoNames
from tests.builders import commit, lay_out, put
from tests.store.users import acting_as

DRAWING = """
    model org/name
      commit a main
        config.json 200
        model.safetensors 3000
      commit b
        config.json 200
        other.json 70
"""


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository of two commits that share a file."""
    return lay_out(tmp_path, DRAWING).base.repo("org/name")


def links_of(repo: Repo) -> list[Path]:
    """Return the links of all snapshots."""
    return sorted(path for path in repo.snapshots.rglob("*") if path.is_symlink())


def lost(repo: Repo) -> dict[str, list[str]]:
    """Return the files that can be linked again, by commit."""
    return {found.commit_hash[0]: [file.path for file in found.files] for found in lost_links.find(RepoNames(repo))}


def test_a_whole_repository_has_lost_nothing(repo: Repo) -> None:
    """A repository with all links has nothing to link again."""
    assert lost(repo) == {}


def test_the_list_says_which_file_a_blob_was(repo: Repo) -> None:
    """Each commit gets its files back from its own list, even without its folder."""
    for link in links_of(repo):
        link.unlink()
    repo.snapshot(commit("b")).rmdir()

    assert lost(repo) == {"a": ["config.json", "model.safetensors"], "b": ["config.json", "other.json"]}


def test_a_part_by_intent_stays_a_part(repo: Repo) -> None:
    """A file that was left out on purpose isn't linked, though another commit has its blob."""
    (repo.snapshot(commit("b")) / "config.json").unlink()

    assert lost(repo) == {}


@pytest.mark.parametrize("how", ["text", "absolute"])
def test_without_a_list_the_text_of_a_link_says_it(repo: Repo, how: str) -> None:
    """A text file that was a link, and a link to the cache's old place, name their blob."""
    link = repo.snapshot(commit("a")) / "model.safetensors"
    target = link.readlink()
    link.unlink()
    repo.tree(commit("a")).unlink()
    if how == "text":
        link.write_text(str(target))
    else:
        link.symlink_to(f"/gone/models--org--name/blobs/{target.name}")

    assert lost(repo) == {"a": ["model.safetensors"]}


def test_a_text_whose_blob_is_gone_cannot_be_linked(repo: Repo) -> None:
    """A text that names a missing blob can't be linked again."""
    link = repo.snapshot(commit("a")) / "model.safetensors"
    blob = link.resolve()
    link.unlink()
    link.write_text(f"../../blobs/{blob.name}")
    blob.unlink()

    assert lost(repo) == {}


def test_a_file_with_content_of_its_own_is_never_replaced(repo: Repo) -> None:
    """A person's or program's own file in a link's place is never replaced."""
    link = repo.snapshot(commit("a")) / "model.safetensors"
    link.unlink()
    put(link, b"mine")

    assert lost(repo) == {}


def test_a_repository_without_blobs_has_nothing_to_link(tmp_path: Path) -> None:
    """A repository without blobs, as without symbolic links, has nothing to link."""
    drawn = lay_out(tmp_path, "model org/name\n commit a main\n config.json 20 real")

    assert lost(drawn.base.repo("org/name")) == {}


def test_a_file_in_place_of_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """A file in place of a commit's folder isn't replaced, and the files in that folder stay lost."""
    repo = lay_out(tmp_path, "model org/name\n commit a\n deep/x.json 50\n y.json 60").base.repo("org/name")
    folder = repo.snapshot(commit("a"))
    (folder / "deep/x.json").unlink()
    (folder / "deep").rmdir()
    (folder / "y.json").unlink()
    put(folder / "deep", b"mine")

    assert lost(repo) == {"a": ["y.json"]}


def test_where_snapshots_may_not_be_listed_nothing_is_garbage(open_path: Path) -> None:
    """If a folder of snapshots can't be listed, no blob is garbage."""
    repo = lay_out(open_path, DRAWING).base.repo("org/name")
    blobs = str(repo.blobs)
    repo.snapshots.chmod(0o700)

    with acting_as():
        assert lost_links.among(repo, {"d" * 40}, {f"{blobs}/{'e' * 40}"}, blobs) == {"d" * 40}
