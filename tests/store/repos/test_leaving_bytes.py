"""How many bytes leave a base with a model."""

from __future__ import annotations

import os
from pathlib import Path

from modelshelf.store.layout import Base
from modelshelf.store.repos import delete
from tests.builders import Drawn, commit, lay_out, put

DRAWING = """
    model org/name
      commit a main
        config.json 20
        w.bin 3000
"""


def leaving_bytes(drawn: Drawn, *keep_digests: str) -> tuple[int, int]:
    """Return what leaves the base, and what that frees on the disk."""
    where = (drawn.base, "org/name", commit("a"))
    plan = delete.plan_removal(*where, drawn.of("org/name", "a"), (), keep_digests)
    return delete.leaving_bytes(drawn.base, plan), plan.free_bytes


def test_what_has_one_name_leaves_and_is_freed(tmp_path: Path) -> None:
    """Without hard links both numbers are the same."""
    left, freed = leaving_bytes(lay_out(tmp_path / "base", DRAWING))

    assert left == freed >= 3020


def test_a_name_in_another_base_frees_nothing_and_leaves(tmp_path: Path) -> None:
    """A blob with a hard link in another base leaves this one, though no byte is freed."""
    drawn = lay_out(tmp_path / "base", DRAWING)
    blob = drawn.base.repo("org/name").blob(drawn.digest("org/name", "a", "w.bin"))
    before = leaving_bytes(drawn)
    put(tmp_path / "elsewhere/x", b"")
    os.link(blob, tmp_path / "elsewhere/w.bin")

    left, freed = leaving_bytes(drawn)

    assert (left, freed) == (before[0], before[1] - 3000)


def test_a_name_in_the_same_base_stays(tmp_path: Path) -> None:
    """Bytes that another repository of the base shares don't leave it."""
    drawn = lay_out(tmp_path / "base", DRAWING)
    blob = drawn.base.repo("org/name").blob(drawn.digest("org/name", "a", "w.bin"))
    before = leaving_bytes(drawn)
    other = put(Base(tmp_path / "base").repo("org/other").blob("0" * 64), b"")
    other.unlink()
    os.link(blob, other)

    assert leaving_bytes(drawn) == (before[0] - 3000, before[1] - 3000)


def test_what_a_model_of_another_commit_needs_stays(tmp_path: Path) -> None:
    """Blobs of another registered commit stay, though nothing links to them yet."""
    drawn = lay_out(tmp_path / "base", DRAWING)

    left, _ = leaving_bytes(drawn, drawn.digest("org/name", "a", "w.bin"))

    assert left < 3000


def test_the_only_snapshot_is_told_by_its_blobs(tmp_path: Path) -> None:
    """Where a repository has one snapshot and its blobs no other names, they alone say what leaves."""
    drawn = lay_out(tmp_path / "base", DRAWING)
    repo = drawn.base.repo("org/name")
    where = repo, commit("a")
    left, _ = leaving_bytes(drawn)

    found = delete.only_snapshot(*where)
    assert found is not None
    assert (found.size_bytes, len(found.files)) == (left, 2)

    os.link(next(repo.blobs.iterdir()), tmp_path / "another")
    assert delete.only_snapshot(*where) is None
    (tmp_path / "another").unlink()

    repo.snapshot(commit("b")).mkdir()
    assert delete.only_snapshot(*where) is None
    repo.snapshot(commit("b")).rmdir()

    repo.absences.symlink_to(tmp_path)
    assert delete.only_snapshot(*where) is None
    repo.absences.unlink()

    repo.blobs.rename(tmp_path / "blobs")
    assert delete.only_snapshot(*where) == delete.OnlySnapshot(0, frozenset())
