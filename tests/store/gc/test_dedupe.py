"""Identical blobs share their bytes, different ones never do, and nobody loses bytes or read access."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.freed import Freed
from modelshelf.domain.gc import DedupePlan
from modelshelf.domain.models import FileEntry
from modelshelf.errors import OutOfSpace
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.blobs import extents, link_or_clone
from modelshelf.store.gc import dedupe
from modelshelf.store.gc.dedupe import Deduped
from modelshelf.store.layout import Base
from modelshelf.store.locks import try_lock
from modelshelf.store.repos import delete, scan
from modelshelf.store.tiers import capabilities, marker, meter
from tests.builders import Drawn, commit, content, digest_of, lay_out, put
from tests.invariants import base_violations, du
from tests.store.held_open import held_open
from tests.store.loops import loop_disk
from tests.store.mounts import small_disk
from tests.store.users import USER, acting_as
from tests.world import MIB, wait_until

SIZE_BYTES = 300_000


def blob(base: Base, repo_id: str, data: bytes, kind: str = "model") -> Path:
    """Write a blob that a repository's snapshot links to, and return it."""
    repo = base.repo(repo_id, kind)
    path = put(repo.blob(digest_of("x.bin", data)), data)
    link = repo.snapshot(commit("a")) / "x.bin"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(path, link.parent))
    return path


def probed(path: Path) -> Base:
    """Return an empty tier whose file system was probed."""
    marker.reset_marker(Base(path))
    capabilities.probe(Base(path))
    return Base(path)


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """An empty base on the test machine's file system."""
    return probed(tmp_path / "base")


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Base]:
    """An empty base on a file system that shares extents."""
    with loop_disk(tmp_path, "xfs") as mounted:
        yield probed(mounted / "base")


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Base]:
    """An empty base on a file system with hard links and no reflinks."""
    with loop_disk(tmp_path, "ext4") as mounted:
        yield probed(mounted / "base")


def twins(base: Base, size_bytes: int = SIZE_BYTES) -> tuple[Path, Path]:
    """Return the same bytes in two repositories of different names."""
    data = content("twin", size_bytes)
    return blob(base, "org/one", data), blob(base, "other/two", data)


def run(base: Base, checked: dict[str, str] | None = None, plan: DedupePlan | None = None) -> Deduped:
    """Make and carry out a plan."""
    return dedupe.execute(base, plan or dedupe.plan_dedupe(base), checked or {}, Counter())


def used_bytes(base: Base) -> int:
    """Return how many bytes a base's file system has allocated."""
    os.sync()
    found = os.statvfs(base.path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_identical_blobs_become_hard_links(ext4: Base) -> None:
    """Without reflinks two repositories share one file; the freed bytes are what `du` and the disk say."""
    one, two = twins(ext4)
    before, used = du(ext4.path), used_bytes(ext4)

    plan = dedupe.plan_dedupe(ext4)
    done = run(ext4, plan=plan)

    assert (plan.method, plan.share_bytes) == ("link", SIZE_BYTES)
    assert one.samefile(two)
    assert done.freed.apparent_bytes == SIZE_BYTES
    after = du(ext4.path)
    locks = du(ext4.hub / ".locks")
    assert (before[0] - after[0] + locks[0], before[1] - after[1] + locks[1]) == (
        done.freed.apparent_bytes,
        done.freed.allocated_bytes,
    )
    assert used - used_bytes(ext4) == done.freed.allocated_bytes - locks[1]
    assert base_violations(ext4) == []


def test_identical_blobs_share_extents(xfs: Base) -> None:
    """With reflinks two files stay, each with its mode and times, and the disk stores their bytes once."""
    one, two = twins(xfs, 8 * MIB)
    two.chmod(0o600)
    os.utime(two, ns=(10**18, 10**18 + 7))
    used = used_bytes(xfs)

    plan = dedupe.plan_dedupe(xfs)
    done = run(xfs, plan=plan)

    assert plan.method == "reflink"
    assert done.merged == [(str(one), "reflink")] or done.merged == [(str(two), "reflink")]
    assert (done.shared_bytes, done.freed) == (8 * MIB, Freed())
    assert not one.samefile(two)
    assert extents.same(one, two)
    wait_until(lambda: used - used_bytes(xfs) > 7 * MIB, "xfs to free the extents, which it does behind")
    assert (stat.S_IMODE(two.stat().st_mode), two.stat().st_mtime_ns) == (0o600, 10**18 + 7)
    assert base_violations(xfs) == []


def test_what_is_shared_is_not_shared_again(xfs: Base, base: Base) -> None:
    """A second run finds nothing to do, on both kinds of file systems."""
    for where in (xfs, base):
        twins(where, 2 * MIB)
        run(where)

        assert dedupe.plan_dedupe(where).groups == ()


def test_writing_to_one_of_two_reflinks_leaves_the_other(xfs: Base) -> None:
    """Writing to one of two reflinked files in place leaves the other unchanged."""
    one, two = twins(xfs)
    run(xfs)

    with one.open("r+b") as file:
        file.write(b"changed")

    assert two.read_bytes() == content("twin", SIZE_BYTES)


def test_hard_links_are_written_by_nobody(base: Base) -> None:
    """Hard-linked blobs are read-only, and readable for no more users than could read both."""
    one, two = twins(base)
    one.chmod(0o640)
    two.chmod(0o604)

    run(base)

    assert one.samefile(two)
    assert stat.S_IMODE(one.stat().st_mode) == 0o444


@pytest.mark.parametrize("same_stamp", [False, True], ids=["plain", "with the same mtime"])
def test_equal_size_and_first_megabyte_are_not_equal_bytes(base: Base, same_stamp: bool) -> None:
    """Two fine-tunes with equal size and header aren't merged: only the whole digest counts."""
    header = content("header", MIB)
    one = blob(base, "org/one", header + content("a", 1000))
    two = blob(base, "org/two", header + content("b", 1000))
    if same_stamp:
        for path in (one, two):
            os.utime(path, ns=(10**18, 10**18))

    assert dedupe.plan_dedupe(base).groups == ()
    assert run(base) == Deduped()
    assert not one.samefile(two)


@pytest.mark.parametrize("damaged", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize("checked", [False, True], ids=["never verified", "verified with its twin's stamp"])
def test_a_damaged_blob_is_not_merged(base: Base, damaged: int, checked: bool) -> None:
    """A blob that was never verified is read first, because neither its name nor a copied mtime proves its bytes."""
    paths = twins(base)
    data = bytearray(content("twin", SIZE_BYTES))
    data[-1] ^= 1
    paths[damaged].write_bytes(data)
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    stamps = {paths[0].name: scan.stamp(paths[0])} if checked else {}

    done = run(base, stamps)

    assert done.merged == []
    assert done.left == [f"{paths[damaged]} is damaged: shelf verify --all"]
    assert paths[1 - damaged].read_bytes() == content("twin", SIZE_BYTES)


def test_what_was_verified_is_not_read_again(base: Base) -> None:
    """A blob unchanged since its last verification isn't read again; its twin is."""
    one, two = twins(base)
    os.utime(one, ns=(10**18, 10**18))
    progress = Counter()

    done = dedupe.execute(base, dedupe.plan_dedupe(base), {one.name: scan.stamp(one)}, progress)

    assert one.samefile(two)
    assert progress.read().done_bytes == 2 * SIZE_BYTES
    assert done.verified == {one.name: scan.stamp(one)}


def test_removing_one_of_the_two_leaves_the_other(base: Base) -> None:
    """Removing one of two deduplicated models frees nothing, and usage counts the bytes once."""
    one, two = twins(base)
    run(base)
    usage = meter.measure(base, rescan=True)
    files = [FileEntry("x.bin", SIZE_BYTES, one.name)]
    plan = delete.plan_removal(base, "org/one", commit("a"), files, ())
    freed = delete.execute(base, plan)

    assert usage.breakdown["models"] < 2 * SIZE_BYTES
    assert not one.exists()
    assert two.read_bytes() == content("twin", SIZE_BYTES)
    assert freed.apparent_bytes < SIZE_BYTES
    assert (meter.measure(base).apparent_bytes, meter.measure(base).allocated_bytes) == du(base.path)


def test_three_of_a_kind_share_one_file(base: Base) -> None:
    """Three names lead to one file, across models, data sets and one repository, and the bytes of two are freed."""
    data = content("twin", SIZE_BYTES)
    paths = [blob(base, "org/one", data), blob(base, "org/two", data), blob(base, "org/one", data, "dataset")]

    done = run(base)

    assert len({path.stat().st_ino for path in paths}) == 1
    assert done.freed.apparent_bytes == 2 * SIZE_BYTES


def test_least_is_replaced(base: Base) -> None:
    """If two names share a file already, the third one joins them."""
    data = content("twin", SIZE_BYTES)
    third = blob(base, "org/a", data)
    one, two = twins(base)
    two.unlink()
    two.hardlink_to(one)
    inode = one.stat().st_ino

    done = run(base)

    assert [path for path, _ in done.merged] == [str(third)]
    assert third.stat().st_ino == inode


@pytest.mark.parametrize("which", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize(("mode", "merged"), [("r+b", False), ("mapped", False), ("rb", True)])
def test_a_file_that_is_being_written_is_left(base: Base, which: int, mode: str, merged: bool) -> None:
    """A file with a writer, by descriptor or by mapping, isn't deduplicated; readers keep what they opened."""
    paths = twins(base)

    with held_open(paths[which], mode):
        done = run(base)

    assert paths[0].samefile(paths[1]) is merged
    assert bool(done.left) is not merged


@pytest.mark.parametrize("which", [0, 1], ids=["the first", "the second"])
def test_a_blob_whose_lock_is_taken_is_left(base: Base, which: int) -> None:
    """A blob whose lock is held isn't deduplicated, because huggingface_hub is about to replace it."""
    paths = twins(base)

    with try_lock(base.path, base.hub_lock(["org/one", "other/two"][which], paths[0].name)):
        done = run(base)

    assert not paths[0].samefile(paths[1])
    assert done.left == [f"{paths[which]} is being written."]


def test_what_changed_after_it_was_read_is_left(base: Base) -> None:
    """A file that changed between reading and locking isn't deduplicated."""
    one, two = twins(base)

    class Writing(Counter):
        """Write into the first file after its last byte has been read."""

        def advance(self, done_bytes: int) -> None:
            super().advance(done_bytes)
            if self.read().done_bytes == 2 * SIZE_BYTES:
                one.write_bytes(b"new")

    done = dedupe.execute(base, dedupe.plan_dedupe(base), {}, Writing())

    assert done.merged == []
    assert (one.read_bytes(), two.read_bytes()) == (b"new", content("twin", SIZE_BYTES))


@pytest.mark.parametrize("gone", [0, 1], ids=["the one that stays", "the other"])
def test_what_went_since_the_plan_is_left(base: Base, gone: int) -> None:
    """A blob that was deleted after the plan isn't made again."""
    paths = twins(base)
    plan = dedupe.plan_dedupe(base)
    victim = [plan.groups[0].keep, plan.groups[0].others[0]][gone]
    Path(victim).unlink()

    done = run(base, plan=plan)

    assert done.merged == []
    assert sorted(path.exists() for path in paths) == [False, True]


def test_links_into_the_shared_store_are_left_alone(tmp_path: Path) -> None:
    """A link into the shared store stays, and a file with its digest elsewhere keeps its own bytes."""
    drawn: Drawn = lay_out(tmp_path, "model org/one\n commit a main\n model.safetensors 3000 shared")
    digest = drawn.digest("org/one", "a", "model.safetensors")
    put(drawn.base.repo("org/two").blob(digest), content("org/one/model.safetensors", 3000))

    assert dedupe.plan_dedupe(drawn.base).groups == ()


def test_files_of_different_owners_stay_apart_unless_all_may_read(base: Base) -> None:
    """Files of different owners are merged only if everybody who could read one can read the shared one."""
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    one, two = twins(base)
    for path, owner in ((one, 1), (two, 2)):
        os.chown(path, owner, owner)
        path.chmod(0o600)

    done = run(base)
    assert done.left == [f"{two} cannot share its bytes here."] or done.left == [f"{one} cannot share its bytes here."]

    two.chmod(0o644)
    one.chmod(0o644)
    run(base)
    assert one.samefile(two)


def test_a_reflink_keeps_the_owner(xfs: Base) -> None:
    """A reflink keeps its owner."""
    one, two = twins(xfs)
    for path, owner in ((one, 1), (two, 2)):
        os.chown(path, owner, owner)
        path.chmod(0o600)

    run(xfs)

    assert extents.same(one, two)
    assert (one.stat().st_uid, two.stat().st_uid) == (1, 2)


def test_a_file_that_would_change_its_owner_is_left(xfs: Base) -> None:
    """Without root, a clone of another user's file is undone, because its owner would change."""
    folder = xfs.path / "folder"
    folder.mkdir()
    mine, theirs = put(folder / "mine", bytes(SIZE_BYTES)), put(folder / "theirs", bytes(SIZE_BYTES))
    os.chown(mine, USER, USER)
    folder.chmod(0o777)
    for path in (folder, *folder.parents[:-2]):
        path.chmod(path.stat().st_mode | 0o011)

    with acting_as(USER):
        assert not link_or_clone.merge_by_reflink(xfs.path, mine, theirs)

    assert sorted(path.name for path in folder.iterdir()) == ["mine", "theirs"]
    assert (theirs.stat().st_uid, extents.same(mine, theirs)) == (0, False)


def test_a_clone_that_the_system_refuses_for_its_size_is_out_of_space(xfs: Base) -> None:
    """A clone that `ulimit -f` refuses is out of space, and both files are unchanged."""
    one, two = (put(xfs.path / name, content("twin", SIZE_BYTES)) for name in ("one", "two"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(OutOfSpace):
            link_or_clone.merge_by_reflink(one.parent.parent, one, two)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert sorted(path.name for path in xfs.path.iterdir()) == ["modelshelf", "one", "two"]
    assert not extents.same(one, two)


def test_two_file_systems_share_nothing(base: Base, tmp_path: Path) -> None:
    """A repository on its own mount inside a base isn't deduplicated with the rest."""
    one, _ = twins(base)
    with loop_disk(tmp_path / "disk", "ext4") as mounted:
        inside = base.repo("mounted/one").path
        inside.mkdir(parents=True)
        subprocess.run(["mount", "--bind", str(mounted), str(inside)], check=True)
        try:
            far = put(base.repo("mounted/one").blob(one.name), content("twin", SIZE_BYTES))
            done = run(base)
            assert str(far) not in [path for path, _ in done.merged]
            assert far.read_bytes() == content("twin", SIZE_BYTES)
        finally:
            subprocess.run(["umount", str(inside)], check=True)


def test_a_bind_mount_of_the_same_disk_is_left(base: Base) -> None:
    """A bind mount of the same disk is skipped: it has the same device number and still refuses links."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    one, two = twins(base)
    done = subprocess.run(["mount", "--bind", str(two.parent), str(two.parent)], capture_output=True)
    if done.returncode:
        pytest.skip("a bind mount cannot be made here")
    try:
        outcome = run(base)
    finally:
        subprocess.run(["umount", str(two.parent)], check=True)

    assert outcome.merged == []
    assert [path.read_bytes() for path in (one, two)] == [content("twin", SIZE_BYTES)] * 2
    assert list(base.path.rglob("*.shelf-tmp")) == []


def test_planted_links_are_not_followed(base: Base, tmp_path: Path) -> None:
    """A blob or a folder of blobs that is a link isn't deduplicated."""
    one, two = twins(base)
    outside = put(tmp_path / "outside" / one.name, one.read_bytes())
    blob(base, "org/three", b"x").parent.joinpath(one.name).symlink_to(outside)
    base.repo("org/four").path.mkdir()
    base.repo("org/four").blobs.symlink_to(outside.parent)

    done = run(base)

    assert [path for path, _ in done.merged] in ([str(one)], [str(two)])
    assert outside.stat().st_nlink == 1


def test_empty_blobs_have_nothing_to_share(base: Base) -> None:
    """Empty blobs aren't deduplicated."""
    blob(base, "org/one", b"")
    blob(base, "org/two", b"")

    assert dedupe.plan_dedupe(base).groups == ()


def test_fragments_are_compared_to_the_last(xfs: Base) -> None:
    """Two files with more extents than one system call returns are still compared to the last."""
    one, two, three = (xfs.path / name for name in ("one", "two", "three"))
    for path in (one, three):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, MIB)
            for i in range(150):
                file.seek(MIB + i * 8192)
                file.write(b"x" * 4096)
            file.seek(4096)
            file.write(b"y" * 4096)
            os.fsync(file.fileno())
    link_or_clone.share(one.parent.parent, one, two)
    two.unlink()
    two.write_bytes(b"")

    assert link_or_clone.merge_by_reflink(one.parent.parent, one, two)
    assert extents.same(one, two)
    assert not extents.same(one, three)
    with two.open("r+b") as file:
        file.write(b"z" * 4096)
    assert not extents.same(one, two)


def test_neighbouring_extents_are_one(ext4: Base) -> None:
    """Adjacent extents count as one, because ext4 reports at most 128 MiB at a time."""
    path = put(ext4.path / "one", bytes(130 * MIB))

    assert extents.same(path, path)


def test_bytes_without_a_place_of_their_own_are_not_shared(tmp_path: Path) -> None:
    """A small file inside its inode shares no extents."""
    with loop_disk(tmp_path, "ext4 with inline data") as mounted:
        path = put(mounted / "one", b"x")
        assert not extents.same(path, path)


def test_a_file_system_that_does_not_tell_extents(tmp_path: Path) -> None:
    """Where a file system doesn't report extents, or a file is gone, nothing counts as shared."""
    with small_disk(tmp_path / "ram", MIB) as mounted:
        path = put(mounted / "one", b"x")
        assert not extents.same(path, path)
        assert not extents.same(mounted / "none", path)


def test_a_folder_that_became_a_link_since_the_plan_is_left(base: Base, tmp_path: Path) -> None:
    """A folder that became a link after the plan is skipped, because the link may lead to another tier."""
    _, two = twins(base)
    plan = dedupe.plan_dedupe(base)
    two.parent.rename(tmp_path / "away")
    two.parent.symlink_to(tmp_path / "away")

    done = run(base, plan=plan)

    assert done.merged == []
    assert any("behind a link" in text for text in done.left)


def test_a_cache_behind_a_link_is_not_looked_into(base: Base, tmp_path: Path) -> None:
    """A cache behind a link is skipped, because it may be another tier; unknown names among blobs are skipped too."""
    one, two = twins(base)
    for path in (one, two):
        put(path.with_name("README"), b"same")
    assert [group.digest for group in dedupe.plan_dedupe(base).groups] == [one.name]
    base.hub.rename(tmp_path / "away")
    base.hub.symlink_to(tmp_path / "away")

    assert dedupe.plan_dedupe(base).groups == ()


def test_a_folder_that_may_not_be_written_is_said(xfs: Base) -> None:
    """Blobs in a folder that can't be written stay unchanged, and the sentence says where."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    one, two = twins(xfs)
    xfs.own.chmod(0o777)
    (xfs.hub / ".locks").mkdir()
    (xfs.hub / ".locks").chmod(0o777)
    for path in (*xfs.path.parents, *xfs.path.rglob("*")):
        if path.is_dir() and len(path.parts) > 2 and path.owner() == "root":
            path.chmod(path.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        done = run(xfs)
    finally:
        os.seteuid(0)

    assert done.merged == []
    assert len(done.left) == 1
    assert [path.read_bytes() for path in (one, two)] == [content("twin", SIZE_BYTES)] * 2
