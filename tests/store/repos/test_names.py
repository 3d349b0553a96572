"""What a repository's names say, read once."""

from __future__ import annotations

from pathlib import Path

from modelshelf.domain.names import RepoId
from modelshelf.store.layout import Base
from modelshelf.store.repos.names import RepoNames
from tests.builders import commit


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
