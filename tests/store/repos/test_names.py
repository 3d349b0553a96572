"""What a repository's names say, read once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelshelf.domain.names import RepoId
from modelshelf.store.layout import Base
from modelshelf.store.listing import Listing
from modelshelf.store.repos.names import RepoNames
from tests.builders import commit, lay_out


def test_a_snapshot_is_a_folder_or_a_link_to_one(tmp_path: Path) -> None:
    """A commit has a snapshot where its folder is, or a link to a folder; a file or a dangling link isn't one."""
    repo = Base(tmp_path).repo(RepoId("org/name"))
    folder, link, dangling, file, nothing = (commit(str(number)) for number in range(1, 6))
    snapshots = Path(str(repo.snapshots))
    (snapshots / folder).mkdir(parents=True)
    (snapshots / link).symlink_to(snapshots / folder)
    (snapshots / dangling).symlink_to(tmp_path / "gone")
    (snapshots / file).write_bytes(b"")

    names = RepoNames(repo)

    assert [names.has_snapshot(one) for one in (folder, link, dangling, file, nothing)] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_the_lists_of_a_repository_are_found_whether_its_folder_was_listed_or_not(tmp_path: Path) -> None:
    """A look that has listed the repository's folder knows from it whether there are lists."""
    repo = lay_out(tmp_path, "model org/name\n commit a main\n config.json 20").base.repo(RepoId("org/name"))

    def listed_commits() -> list[list[str]]:
        listing = Listing()
        listing.readable(repo.folder)
        return [list(RepoNames(repo, listing).listed_commits), list(RepoNames(repo).listed_commits)]

    assert listed_commits() == [[commit("a")]] * 2

    shutil.rmtree(repo.trees)

    assert listed_commits() == [[], []]


@pytest.mark.parametrize("strange", ["link", "folder"])
def test_sizes_are_those_of_plain_files_alone(tmp_path: Path, strange: str) -> None:
    """Sizes are told from names alone where every blob is a regular file; a link or a folder among them says none."""
    base = lay_out(tmp_path, "model org/name\n commit a main\n config.json 20").base
    repo = base.repo(RepoId("org/name"))
    [blob] = repo.blobs.iterdir()
    assert RepoNames(repo).sizes == {blob.name: 20}

    if strange == "link":
        (repo.blobs / "x").symlink_to(blob)
    else:
        (repo.blobs / "x").mkdir()

    assert RepoNames(repo).sizes is None


def test_what_is_arriving_is_told_by_its_name(tmp_path: Path) -> None:
    """The digest of a partial download is known from its name; in a repository whose blobs can't be listed none is."""
    repo = Base(tmp_path).repo(RepoId("org/name"))
    repo.blobs.mkdir(parents=True)
    for name in (f"{'a' * 64}.incomplete", f"{'b' * 64}.0123abcd.incomplete", "c" * 64, "notes.txt"):
        (repo.blobs / name).touch()
    other = Base(tmp_path).repo(RepoId("org/other"))
    other.path.mkdir()
    other.blobs.touch()

    assert RepoNames(repo).arriving == {"a" * 64, "b" * 64}
    assert RepoNames(other).arriving == set()
