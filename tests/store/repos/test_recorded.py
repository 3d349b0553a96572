"""When a repository counts as the registry recorded it, and that no change is overlooked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf.store.layout import Repo
from modelshelf.store.repos import inspect, recorded, scan
from modelshelf.store.repos.inspect import Wanted
from modelshelf.store.repos.names import RepoNames
from modelshelf.store.repos.recorded import Recorded
from tests.builders import Drawn, commit, lay_out, put

REPO = "org/name"


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """A base with a model without folders in its snapshot, and another commit that shares a file with it."""
    drawing = """
        model org/name
          commit a main
            config.json 20
            model.safetensors 3000
        model org/deep
          commit b main
            deep/config.json 20
        model org/shared
          commit c main
            model.safetensors 500 shared
    """
    return lay_out(tmp_path / "base", drawing)


def model_of(drawn: Drawn, repo_id: str = REPO, letter: str = "a") -> Recorded:
    """Return a model as it is laid out now."""
    signature = scan.signature(drawn.base.repo(repo_id), commit(letter))
    return Recorded(commit(letter), tuple(drawn.of(repo_id, letter)), signature)


def is_as_recorded(drawn: Drawn, *models: Recorded, repo_id: str = REPO) -> bool:
    """Return whether a new reading finds the repository as recorded."""
    return recorded.is_as_recorded(RepoNames(drawn.base.repo(repo_id)), models)


def weights(drawn: Drawn) -> Path:
    """Return the blob of the weights."""
    return drawn.base.repo(REPO).blob(next(f.digest for f in drawn.of(REPO, "a") if f.size_bytes == 3000))


def test_what_was_laid_out_is_as_recorded(drawn: Drawn) -> None:
    """The links of an unchanged repository aren't read, and all of its files count as there."""
    model = model_of(drawn)

    assert is_as_recorded(drawn, model)
    assert recorded.missing_files(RepoNames(drawn.base.repo(REPO)), model) == []


def test_one_reading_judges_a_repository_once(drawn: Drawn) -> None:
    """A reading that was asked about the same models answers as before; other models are judged anew."""
    names, model = RepoNames(drawn.base.repo(REPO)), model_of(drawn)
    assert recorded.is_as_recorded(names, [model])
    weights(drawn).parent.rename(drawn.base.path / "away")

    assert recorded.is_as_recorded(names, [model])
    assert not recorded.is_as_recorded(names, [model._replace(signature="1:2")])
    assert not is_as_recorded(drawn, model)


def test_two_models_of_two_commits_may_share_a_repository(drawn: Drawn) -> None:
    """Two models of two commits together need all of a repository's blobs, so it is as recorded."""
    repo = drawn.base.repo(REPO)
    shutil.copytree(repo.snapshot(commit("a")), repo.snapshot(commit("d")), symlinks=True)
    model = model_of(drawn)
    other = Recorded(commit("d"), model.files, scan.signature(repo, commit("d")))

    assert is_as_recorded(drawn, model, other)
    assert not is_as_recorded(drawn, model)


@pytest.mark.parametrize(("repo_id", "letter"), [("org/deep", "b"), ("org/shared", "c")])
def test_folders_and_shared_blobs_are_looked_at(drawn: Drawn, repo_id: str, letter: str) -> None:
    """A link below a snapshot's sub-folder, or a blob that is a link, isn't covered by mtimes, so it is read."""
    assert not is_as_recorded(drawn, model_of(drawn, repo_id, letter), repo_id=repo_id)


def test_a_repository_of_nobody_is_looked_at(drawn: Drawn) -> None:
    """Without a model, a signature or a repository nothing counts as recorded."""
    model = model_of(drawn)

    assert not is_as_recorded(drawn)
    assert not is_as_recorded(drawn, model._replace(signature=""))
    assert not is_as_recorded(drawn, model, repo_id="org/gone")


def another_blob(repo: Repo, blob: Path) -> None:
    """Add a blob."""
    put(repo.blobs / ("f" * 64), b"?")


def no_blob(repo: Repo, blob: Path) -> None:
    """Delete a blob."""
    blob.unlink()


def other_link(repo: Repo, blob: Path) -> None:
    """Make a link lead to another blob."""
    link = repo.snapshot(commit("a")) / "config.json"
    link.unlink()
    link.symlink_to(f"../../blobs/{blob.name}")


def no_link(repo: Repo, blob: Path) -> None:
    """Delete a link."""
    (repo.snapshot(commit("a")) / "config.json").unlink()


def plain_file(repo: Repo, blob: Path) -> None:
    """Put a file in place of a link."""
    link = repo.snapshot(commit("a")) / "config.json"
    link.unlink()
    put(link, blob.name.encode())


def another_commit(repo: Repo, blob: Path) -> None:
    """Add a snapshot with a dangling link."""
    repo.snapshot(commit("e")).mkdir()
    (repo.snapshot(commit("e")) / "x.bin").symlink_to(f"../../blobs/{'e' * 64}")


def linked_commit(repo: Repo, blob: Path) -> None:
    """Move the snapshot, and put a link to it in its place."""
    folder = repo.snapshot(commit("a"))
    folder.rename(repo.path / "elsewhere")
    folder.symlink_to("../elsewhere")


def linked_blobs(repo: Repo, blob: Path) -> None:
    """Move the blobs, and put a link to them in their place."""
    repo.blobs.rename(repo.path / "elsewhere")
    repo.blobs.symlink_to("elsewhere")


CHANGES = (another_blob, no_blob, other_link, no_link, plain_file, another_commit, linked_commit, linked_blobs)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_repository_that_changed_is_looked_at_whole(drawn: Drawn, change: Callable[[Repo, Path], None]) -> None:
    """In a repository that changed, the doctor finds what a complete inspection finds."""
    repo, model = drawn.base.repo(REPO), model_of(drawn)
    change(repo, weights(drawn))

    wanted = Wanted("m", "main", model.commit_hash, tuple(model.files), True, model.signature)
    found = inspect.faults(drawn.base, REPO, RepoNames(repo), [wanted])

    assert not is_as_recorded(drawn, model)
    assert found == list(inspect.look(drawn.base, REPO, repo, [wanted], whole=True).findings)
    missing = recorded.missing_files(RepoNames(repo), model)
    assert missing == scan.missing_files(repo, model.commit_hash, model.files)


def test_a_ref_or_a_list_that_went_bad_is_found(drawn: Drawn) -> None:
    """Refs and lists are always read, because the signature doesn't cover their folders."""
    repo, model = drawn.base.repo(REPO), model_of(drawn)
    repo.ref("v1").write_text("f" * 40)
    repo.tree(commit("a")).write_text("[]")
    wanted = Wanted("m", "main", model.commit_hash, tuple(model.files), True, model.signature)

    found = inspect.faults(drawn.base, REPO, RepoNames(repo), [wanted])

    assert is_as_recorded(drawn, model)
    assert [finding.kind.value for finding in found] == ["dangling_ref", "broken_tree"]
    assert found == list(inspect.look(drawn.base, REPO, repo, [wanted], whole=True).findings)


def test_a_blob_that_was_cut_short_is_missing(drawn: Drawn) -> None:
    """A blob that was cut short in place is missing, though its folder's mtime is the same."""
    model = model_of(drawn)
    os.truncate(weights(drawn), 5)

    assert is_as_recorded(drawn, model)
    assert [file.size_bytes for file in recorded.missing_files(RepoNames(drawn.base.repo(REPO)), model)] == [3000]
