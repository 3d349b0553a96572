"""When the blobs of a placement were read last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.domain.names import Digest
from modelshelf.store.repos import read_times, scan, trees
from tests.builders import Drawn, commit, lay_out

DRAWING = """
    model org/name
      commit a main
        config.json 20
        w.gguf 3000
        other.gguf 2000
    model org/plain
      commit b main
        config.json 20 real
"""
READ_NS, WRITTEN_NS = 1_700_000_000 * 10**9, 1_600_000_000 * 10**9


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """A repository with blobs, and one without."""
    return lay_out(tmp_path / "base", DRAWING)


def test_all_blobs_of_a_repository_are_looked_at(drawn: Drawn) -> None:
    """Each blob gives its times and its size once, a link to another tier those of the file that it leads to."""
    repo = drawn.base.repo("org/name")
    elsewhere = drawn.base.path / "elsewhere"
    elsewhere.write_bytes(b"1234")
    os.utime(elsewhere, ns=(READ_NS, WRITTEN_NS))
    repo.blob(Digest("e" * 64)).symlink_to(elsewhere)
    repo.blob(Digest("f" * 64)).symlink_to(drawn.base.path / "gone")

    found = read_times.of_repo(repo, commit("a"))

    assert sorted(one.size_bytes for one in found.times) == [4, 20, 2000, 3000]
    [linked] = [one for one in found.times if one.size_bytes == 4]
    assert (linked.read_at, linked.written_at, linked.was_read) == (1.7e9, 1.6e9, True)
    assert (elsewhere.stat().st_dev, elsewhere.stat().st_ino) in found.identities


def test_without_blobs_the_snapshot_is_looked_at(drawn: Drawn) -> None:
    """Where there are no links, the files of the snapshot give their times."""
    found = read_times.of_repo(drawn.base.repo("org/plain"), commit("b"))

    assert [one.size_bytes for one in found.times] == [20]


def test_only_a_models_own_files_are_looked_at(drawn: Drawn) -> None:
    """Of a repository with several models only the files of one count; a missing one doesn't."""
    repo = drawn.base.repo("org/name")
    files = [file for file in trees.read(repo, commit("a")) or () if file.path != "other.gguf"]
    (repo.snapshot(commit("a")) / "config.json").unlink()

    found = read_times.of_files(repo, commit("a"), files)

    assert [one.size_bytes for one in found.times] == [3000]
    assert scan.snapshots(repo) == [commit("a")]
