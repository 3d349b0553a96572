"""A folder is brought into a base file by file: equal files merge; files that differ or lead out stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.errors import Corrupt
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.adopt import merge_folder
from modelshelf.store.layout import Base, CacheDir
from tests.builders import lay_out, put
from tests.disks import MEMORY, identity
from tests.store.users import acting_as
from tests.world import tree

DRAWING = """
    dataset org/rows
      commit c main refs/pr/1
        rows.bin 500 shared
        deep/more.txt 20
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with a payload in the shared blob store."""
    return lay_out(tmp_path / "old", DRAWING).base.repo("org/rows", "dataset").path


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """The target base."""
    return Base(tmp_path / "new")


def goal(base: Base, source: Path) -> Path:
    """Return the folder's target."""
    return base.hub / source.name


def bring(source: Path, base: Base) -> merge_folder.Carrying:
    """Plan and bring the folder."""
    carrying = merge_folder.plan(source, goal(base, source), source.parent)
    merge_folder.bring(carrying, base, Counter(), lambda count: None)
    return carrying


def test_a_repository_is_brought_with_its_shared_payloads_as_files(source: Path, base: Base) -> None:
    """A repository reads the same on the target, with its own files in place of links out; dropping leaves no trace."""
    before = tree(source)
    old = CacheDir(source.parent)

    carrying = bring(source, base)

    assert (tree(goal(base, source)), tree(source)) == (before, before)
    assert not [p for p in goal(base, source).rglob("blobs/*") if p.is_symlink()]
    freed = merge_folder.drop(carrying, old)
    assert (source.exists(), tree(goal(base, source)), freed.apparent_bytes > 0) == (False, before, True)
    assert not list(old.hub.glob("blobs/??/*[0-9a-f]"))


def test_it_takes_no_second_byte_on_one_file_system(source: Path, base: Base) -> None:
    """On one file system blobs get a second name; a ref, which programs write in place, becomes its own file."""
    bring(source, base)

    digest = next(path.name for path in (source / "blobs").iterdir() if not path.is_symlink())
    assert identity(source / "blobs" / digest) == identity(goal(base, source) / "blobs" / digest)
    assert identity(source / "refs" / "main") != identity(goal(base, source) / "refs" / "main")


def test_what_is_there_already_is_merged(source: Path, base: Base) -> None:
    """A second run brings nothing; a different file with equal bytes counts as there."""
    bring(source, base)
    target = goal(base, source)
    digest = next(path.name for path in (source / "blobs").iterdir() if not path.is_symlink())
    data = (target / "blobs" / digest).read_bytes()
    (target / "blobs" / digest).unlink()
    put(target / "blobs" / digest, data)

    carrying = merge_folder.plan(source, target, source.parent)

    assert (carrying.need_bytes, all(piece.is_there for piece in carrying.pieces)) == (0, True)
    before = (target / "blobs" / digest).stat().st_ino
    merge_folder.bring(carrying, base, Counter(), lambda count: None)
    assert (target / "blobs" / digest).stat().st_ino == before


def test_what_differs_stays(source: Path, base: Base) -> None:
    """A ref to another commit, a link to another target and a file of another size are neither replaced nor dropped."""
    target = goal(base, source)
    put(target / "refs" / "main", b"d" * 40)
    link = next((source / "snapshots").rglob("rows.bin"))
    other = target / link.relative_to(source)
    put(other.parent / "x", b"")
    other.symlink_to("x")
    put(target / "trees" / f"{'c' * 40}.json", b"{}")

    carrying = bring(source, base)
    merge_folder.drop(carrying)

    assert len([text for text in carrying.left if "differs" in text]) == 3
    assert ((source / "refs" / "main").exists(), link.is_symlink()) == (True, True)
    assert ((target / "refs" / "main").read_bytes(), str(other.readlink())) == (b"d" * 40, "x")


@pytest.mark.parametrize("where", ["blobs", "snapshots", "refs"])
def test_a_link_that_leads_out_stays(source: Path, base: Base, where: str) -> None:
    """A link that leads out is named; neither the link nor its target is brought or deleted."""
    secret = put(source.parents[2] / "secret", b"secret")
    planted = source / where / "planted"
    planted.symlink_to(secret)

    carrying = bring(source, base)
    merge_folder.drop(carrying)

    assert (planted.is_symlink(), secret.read_bytes()) == (True, b"secret")
    assert any("planted" in text for text in carrying.left)
    assert not (goal(base, source) / where / "planted").exists()


def test_what_leads_nowhere_or_is_no_file_stays(source: Path, base: Base) -> None:
    """A dead ref, a dead link and a pipe are named and stay."""
    put(source / "refs" / "dead", b"e" * 40)
    put(source / "refs" / "odd", b"\xff")
    (source / "blobs" / "gone").symlink_to("nothing")
    os.mkfifo(source / "blobs" / "pipe")

    carrying = bring(source, base)

    assert sorted(text.partition(" ")[0].rpartition("/")[2] for text in carrying.left) == [
        "dead",
        "gone",
        "odd",
        "pipe",
    ]


def test_a_download_in_flight_stays(source: Path, base: Base) -> None:
    """A temporary file that a process has open stays; one that nobody has open is brought."""
    with put(source / "blobs" / "ab.0a1b2c3d.incomplete", b"x").open("rb"):
        assert any(
            "being written" in text for text in merge_folder.plan(source, goal(base, source), source.parent).left
        )
    assert merge_folder.plan(source, goal(base, source), source.parent).left == ()


def test_what_a_program_uses_is_not_dropped(source: Path, base: Base) -> None:
    """A file that is open keeps its old name, and the sentence says who has it open."""
    carrying = bring(source, base)

    with next(path for path in source.rglob("blobs/*") if not path.is_symlink()).open("rb"):
        assert f"pid {os.getpid()}" in merge_folder.why_kept(carrying)
    assert merge_folder.why_kept(carrying) == ""


def test_one_file_is_carried_alone(tmp_path: Path, base: Base) -> None:
    """A single file is brought like a folder."""
    file = put(tmp_path / "old" / "note", b"x")

    carrying = merge_folder.plan(file, base.path / "note", tmp_path / "old")
    merge_folder.bring(carrying, base, Counter(), lambda count: None)
    merge_folder.drop(carrying)

    assert (file.exists(), (base.path / "note").read_bytes()) == (False, b"x")


def test_nothing_is_dropped_whose_target_went(source: Path, base: Base) -> None:
    """If somebody deleted the new file in the meantime, the old one isn't dropped."""
    carrying = bring(source, base)
    before = tree(source)
    for path in (goal(base, source) / "blobs").iterdir():
        path.unlink()

    with pytest.raises(Corrupt):
        merge_folder.drop(carrying)

    assert {name for name in before if name.startswith("blobs")} <= set(tree(source))


def test_another_file_system_gets_copies(source: Path, tmp_path: Path) -> None:
    """On another file system, copied bytes are verified and keep their mode."""
    import shutil
    import tempfile

    if not MEMORY.is_dir() or MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"{MEMORY} isn't a file system of its own here")
    far = Base(Path(tempfile.mkdtemp(prefix="modelshelf-", dir=MEMORY)))
    try:
        carrying = merge_folder.plan(source, goal(far, source), source.parent)
        assert not merge_folder.can_share(carrying, far)
        before = tree(source)

        merge_folder.bring(carrying, far, Counter(), lambda count: None)

        assert tree(goal(far, source)) == before
        assert (goal(far, source) / "trees" / f"{'c' * 40}.json").stat().st_mode & 0o777 == 0o600
    finally:
        shutil.rmtree(far.path)


def test_a_folder_that_is_all_there_needs_no_probe(source: Path, base: Base) -> None:
    """A folder that is complete on the target needs no probe of the file system."""
    bring(source, base)

    assert merge_folder.can_share(merge_folder.plan(source, goal(base, source), source.parent), base)


def test_what_may_not_be_read_stays(open_path: Path) -> None:
    """An unreadable file of another user is named, and the others are brought."""
    source = lay_out(open_path / "old", DRAWING).base.repo("org/rows", "dataset").path
    for path in (source / "trees").iterdir():
        path.chmod(0o600)

    with acting_as():
        carrying = merge_folder.plan(source, open_path / "new", source.parent)

    assert [text.partition("/trees/")[2] for text in carrying.left] == [f"{'c' * 40}.json."]
    assert len(carrying.pieces) == 6


def test_a_file_in_place_of_a_link_counts_by_its_bytes(source: Path, base: Base) -> None:
    """A snapshot with files in place of links counts as there if its bytes are equal, and differs otherwise."""
    links = sorted(path for path in (source / "snapshots").rglob("*") if path.is_symlink())
    same, other = (goal(base, source) / link.relative_to(source) for link in links)
    put(same, links[0].read_bytes())
    put(other, b"other")

    carrying = merge_folder.plan(source, goal(base, source), source.parent)

    assert [piece.path for piece in carrying.pieces if piece.is_there] == [links[0]]
    assert [text.partition(" ")[0] for text in carrying.left] == [str(links[1])]


def test_a_folder_that_is_its_own_target_loses_nothing(source: Path, tmp_path: Path) -> None:
    """A folder that is its own target by another path loses nothing: its names aren't dropped."""
    (tmp_path / "link").symlink_to(source.parent)
    before = tree(source)

    carrying = merge_folder.plan(source, tmp_path / "link" / source.name, source.parent)
    merge_folder.drop(carrying)

    assert (carrying.need_bytes, tree(source)) == (0, before)
