"""What a removal deletes, and what stays because something else needs it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from modelshelf.domain.freed import Freed
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import RefName
from modelshelf.domain.plans import SEGMENT_BYTES, RemovalPlan
from modelshelf.domain.views import Entry, Link, Text
from modelshelf.errors import Conflict
from modelshelf.store import fs
from modelshelf.store.blobs.partial import IncomingBlob
from modelshelf.store.locks import try_lock
from modelshelf.store.probe import is_there
from modelshelf.store.repos import delete, scan
from tests.builders import Drawn, commit, lay_out, put
from tests.invariants import base_violations
from tests.world import tree

ONE = """
    model org/name
      commit a main refs/pr/1
        config.json 20
        deep/er/w.bin 3000
      missing a added_tokens.json
"""
TWO = """
    model org/name
      commit a main refs/pr/1
        config.json 20
        w.bin 3000 as=old
        common.bin 400 as=common
      commit b refs/pr/2
        config.json 20 as=new-config
        w.bin 3000 as=new
        other-name.bin 400 as=common
"""


def lay(folder: Path, drawing: str) -> Drawn:
    """Create a drawn base and return it."""
    return lay_out(folder / "base", drawing)


def plan(drawn: Drawn, *paths: str, letter: str = "a", keep: tuple[str, ...] = ()) -> RemovalPlan:
    """Return the plan to remove a model with some files of a commit, by default all."""
    files = [file for file in drawn.of("org/name", letter) if not paths or file.path in paths]
    return delete.plan_removal(drawn.base, "org/name", commit(letter), files, keep)


def remove(drawn: Drawn, *paths: str, letter: str = "a", keep: tuple[str, ...] = ()) -> Freed:
    """Remove it, and assert that no link dangles."""
    found = plan(drawn, *paths, letter=letter, keep=keep)
    freed = delete.execute(drawn.base, found)
    assert base_violations(drawn.base) == []
    assert found.free_bytes <= freed.apparent_bytes
    return freed


def names(drawn: Drawn, letter: str) -> list[str]:
    """Return a snapshot's files that can be read."""
    found = scan.snapshot_files(drawn.base.repo("org/name"), commit(letter))
    return [name for name, path in found if path.is_file()]


def test_the_only_model_of_a_repository_leaves_nothing_of_it(tmp_path: Path) -> None:
    """Removing a repository's only model deletes its refs, links, blobs, listing and negative cache."""
    drawn = lay(tmp_path, ONE)
    repo = drawn.base.repo("org/name")
    there = sum(path.lstat().st_size for path in (repo.path, *repo.path.rglob("*")))

    freed = remove(drawn)

    assert not repo.path.exists()
    assert 3020 <= freed.apparent_bytes <= there


def test_a_file_with_another_name_on_the_disk_is_known(tmp_path: Path) -> None:
    """A file with another hard link is recognised; a missing one has none."""
    drawn = lay(tmp_path, ONE)
    found = plan(drawn)
    assert not delete.has_other_names(found)

    weights = max((Path(blob) for blob in found.blobs), key=lambda path: path.stat().st_size)
    (tmp_path / "elsewhere").hardlink_to(weights)
    assert delete.has_other_names(found)
    weights.unlink()
    assert not delete.has_other_names(found)


def test_what_a_killed_write_left_goes_with_its_repository(tmp_path: Path) -> None:
    """A killed write's leftover is deleted with its repository, which it would otherwise keep where no gc runs."""
    drawn = lay(tmp_path, ONE)
    repo = drawn.base.repo("org/name")
    put(repo.refs / ".main.0a1b2c3d.shelf-tmp", b"")
    put(repo.trees / f".{commit('a')}.json.0a1b2c3d.shelf-tmp", b"[")

    remove(drawn)

    assert not repo.path.exists()


@pytest.mark.parametrize("killed_after", ["refs", "links", "blobs"])
def test_the_folders_of_a_killed_removal_go_with_the_next(tmp_path: Path, killed_after: str) -> None:
    """Folders left by a killed removal are deleted by the next one."""
    drawn = lay(tmp_path, ONE)
    repo, found = drawn.base.repo("org/name"), plan(drawn)
    order = [("refs", found.refs), ("links", found.links), ("blobs", found.blobs)]
    gone = order[: [kind for kind, _ in order].index(killed_after) + 1]
    for path in (path for _, paths in gone for path in paths):
        Path(path).unlink()

    remove(drawn)

    assert not repo.path.exists()


def test_the_plan_says_what_will_be_done(tmp_path: Path) -> None:
    """The plan lists each kind of file and the blobs' bytes; planning changes nothing."""
    drawn = lay(tmp_path, ONE)
    repo = drawn.base.repo("org/name")
    before = sorted(repo.path.rglob("*"))

    found = plan(drawn)

    assert set(found.refs) == {str(repo.ref("main")), str(repo.ref("refs/pr/1"))}
    assert [Path(link).name for link in found.links] == ["config.json", "w.bin"]
    assert {Path(blob).name for blob in found.blobs} == {file.digest for file in drawn.of("org/name", "a")}
    assert found.extras == (str(repo.tree(commit("a"))), str(repo.no_exist(commit("a"))))
    assert (found.parts, found.shared_payloads, found.free_bytes) == ((), (), 3020)
    assert sorted(repo.path.rglob("*")) == before


def test_blobs_that_another_snapshot_needs_stay(tmp_path: Path) -> None:
    """Blobs that another snapshot needs stay under any link name, and so do its refs and listing."""
    drawn = lay(tmp_path, TWO)
    repo = drawn.base.repo("org/name")

    assert plan(drawn).free_bytes == 3020
    remove(drawn)

    assert names(drawn, "b") == ["config.json", "other-name.bin", "w.bin"]
    assert scan.refs(repo) == {"refs/pr/2": commit("b")}
    assert scan.snapshots(repo) == [commit("b")]
    assert set(scan.blob_sizes(repo)) == {file.digest for file in drawn.of("org/name", "b")}
    assert repo.tree(commit("b")).exists()
    assert not repo.tree(commit("a")).exists()


def test_an_absolute_link_of_another_snapshot_counts_however_the_base_is_called(tmp_path: Path) -> None:
    """A blob that another snapshot needs through another name of the base stays."""
    drawn = lay(tmp_path, TWO)
    (tmp_path / "alias").symlink_to("base")
    link = drawn.base.repo("org/name").snapshot(commit("b")) / "other-name.bin"
    blob = link.resolve()
    link.unlink()
    link.symlink_to(tmp_path / "alias" / blob.relative_to(drawn.base.path))

    delete.execute(drawn.base, plan(drawn))

    assert "other-name.bin" in names(drawn, "b")


def test_files_that_another_model_of_the_commit_needs_stay(tmp_path: Path) -> None:
    """Of two models that share a commit each takes only its own files along; the last one takes all."""
    drawn = lay(tmp_path, TWO)

    remove(drawn, "config.json", "w.bin", keep=("config.json", "common.bin"))
    assert names(drawn, "a") == ["common.bin", "config.json"]
    assert scan.refs(drawn.base.repo("org/name"))["main"] == commit("a")

    remove(drawn, "config.json", "common.bin")
    assert commit("a") not in scan.snapshots(drawn.base.repo("org/name"))


def test_a_digest_that_a_kept_file_has_stays(tmp_path: Path) -> None:
    """A blob stays while another file of the commit with the same content is kept."""
    drawn = lay(tmp_path, "model org/name\ncommit a main\none.bin 500 as=x\ntwo.bin 500 as=x")
    (drawn.base.repo("org/name").snapshot(commit("a")) / "two.bin").unlink()

    remove(drawn, keep=("two.bin",))

    assert list(scan.blob_sizes(drawn.base.repo("org/name")).values()) == [500]


def test_what_somebody_else_downloaded_of_the_commit_stays(tmp_path: Path) -> None:
    """Files of the commit that no model of ours has stay, and so do the refs to them."""
    drawn = lay(tmp_path, TWO)

    remove(drawn, "w.bin")

    assert names(drawn, "a") == ["common.bin", "config.json"]
    assert set(scan.refs(drawn.base.repo("org/name"))) == {"main", "refs/pr/1", "refs/pr/2"}
    assert drawn.base.repo("org/name").tree(commit("a")).exists()


def test_an_orphan_is_not_ours_to_remove(tmp_path: Path) -> None:
    """A blob that none of the model's files has is left for gc."""
    drawn = lay(tmp_path, ONE + "\n      orphan 700\n      partial 90")

    remove(drawn)

    left = {path.stat().st_size for path in drawn.base.repo("org/name").blobs.iterdir()}
    assert left == {700, 90}


def test_a_removal_that_dies_leaves_no_link_that_leads_nowhere(tmp_path: Path) -> None:
    """Refs and links go before the first blob, so a crash leaves garbage and no dangling link."""
    drawn = lay(tmp_path, TWO)
    found = plan(drawn)
    [blob] = [Path(blob) for blob in found.blobs if Path(blob).stat().st_size == 3000]
    blob.unlink()
    put(blob / "in-the-way", b"")

    with pytest.raises(IsADirectoryError):
        delete.execute(drawn.base, found)

    fs.remove_tree(blob.parent, blob)
    assert base_violations(drawn.base) == []
    assert names(drawn, "a") == []
    assert names(drawn, "b") == ["config.json", "other-name.bin", "w.bin"]


def test_a_blob_that_is_linked_again_meanwhile_stays(tmp_path: Path) -> None:
    """A blob that another program linked after the plan stays."""
    drawn = lay(tmp_path, ONE)
    repo = drawn.base.repo("org/name")
    found = plan(drawn)
    digest = drawn.digest("org/name", "a", "config.json")
    link = repo.snapshot(commit("c")) / "config.json"
    link.parent.mkdir()
    link.symlink_to(f"../../blobs/{digest}")

    delete.execute(drawn.base, found)

    assert list(scan.blob_sizes(repo)) == [digest]


def test_a_blob_that_somebody_works_on_is_left(tmp_path: Path) -> None:
    """A blob whose huggingface_hub lock is held stays, because the holder may be about to link it."""
    drawn = lay(tmp_path, ONE)
    digest = drawn.digest("org/name", "a", "config.json")

    with try_lock(drawn.base.path, drawn.base.hub_lock("org/name", digest)):
        remove(drawn)

    assert list(scan.blob_sizes(drawn.base.repo("org/name"))) == [digest]


def test_more_blobs_than_open_files_are_removed(tmp_path: Path) -> None:
    """More blobs than the process may open files are removed, because locks are taken in batches."""
    drawing = "model org/name\ncommit a main\n" + "\n".join(f"f{i}.txt {i}" for i in range(450))
    drawn = lay(tmp_path, drawing)

    remove(drawn)

    assert not drawn.base.repo("org/name").path.exists()


SHARED = """
    model org/name
      commit a main
        w.safetensors 3000 as=w shared
    model org/other
      commit b main
        w.safetensors 3000 as=w shared
"""


def test_a_shared_payload_stays_while_another_repository_links_to_it(tmp_path: Path) -> None:
    """A shared payload stays while another repository links to it, and the plan counts only the link."""
    drawn = lay(tmp_path, SHARED)

    assert plan(drawn).free_bytes == 0
    remove(drawn)

    assert not drawn.base.repo("org/name").path.exists()
    [weights] = scan.snapshot_files(drawn.base.repo("org/other"), commit("b"))
    assert weights[1].stat().st_size == 3000


def test_a_shared_payload_goes_with_its_last_link(tmp_path: Path) -> None:
    """A shared payload goes with its last link by the store's own rules, and counts as freed."""
    drawn = lay(tmp_path, SHARED.partition("    model org/other")[0])
    found = plan(drawn)

    freed = remove(drawn)

    assert found.free_bytes == 3000
    assert [Path(payload).exists() for payload in found.shared_payloads] == [False]
    assert freed.apparent_bytes >= 3000


@pytest.mark.parametrize("where", ["repository", "blobs", "snapshots", "snapshot", "refs", "trees", ".no_exist"])
def test_nothing_is_deleted_through_a_link(tmp_path: Path, where: str) -> None:
    """A folder that is a link, to another disk or out of the base, is refused before anything changes."""
    drawn = lay(tmp_path, ONE)
    repo = drawn.base.repo("org/name")
    folders = {"repository": repo.path, "snapshot": repo.snapshot(commit("a"))}
    folder = folders.get(where, repo.path / where)
    outside = folder.rename(tmp_path / "outside")
    folder.symlink_to(outside)
    before = sorted(outside.rglob("*"))

    with pytest.raises(Conflict, match="is a link to"):
        plan(drawn)

    assert sorted(outside.rglob("*")) == before


def test_a_planted_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    """A link in place of a file, folder or listing is deleted and not its target; one among the refs stays unread."""
    drawn = lay(tmp_path, ONE)
    repo = drawn.base.repo("org/name")
    outside = put(tmp_path / "outside" / "w.bin", b"precious")
    for path in (repo.snapshot(commit("a")) / "config.json", repo.tree(commit("a"))):
        path.unlink()
        path.symlink_to(outside)
    fs.remove_tree(repo.root, repo.no_exist(commit("a")))
    repo.no_exist(commit("a")).symlink_to(outside.parent)
    (repo.snapshot(commit("a")) / "evil").symlink_to(outside.parent)
    put(tmp_path / "outside" / "ref", commit("a").encode())
    repo.ref("planted").symlink_to(tmp_path / "outside" / "ref")

    delete.execute(drawn.base, plan(drawn, "config.json", "deep/er/w.bin"))
    (repo.snapshot(commit("a")) / "evil").unlink()
    delete.execute(drawn.base, plan(drawn))

    assert tree(outside.parent) == {"w.bin": b"precious", "ref": commit("a").encode()}
    assert [path.name for path in repo.path.rglob("*") if not path.is_dir()] == ["planted"]


def test_files_without_links_are_removed(tmp_path: Path) -> None:
    """Without symbolic links the snapshot's own files are deleted."""
    drawn = lay(tmp_path, "model org/name\ncommit a main\nw.bin 3000 real\nconfig.json 20 real")

    assert plan(drawn).free_bytes == 3020
    remove(drawn)

    assert not drawn.base.repo("org/name").path.exists()


def test_a_blob_with_a_second_name_frees_nothing(tmp_path: Path) -> None:
    """A plan doesn't count a blob that has a hard link elsewhere."""
    drawn = lay(tmp_path, ONE)
    blob = drawn.base.repo("org/name").blob(drawn.digest("org/name", "a", "deep/er/w.bin"))
    (tmp_path / "second-name").hardlink_to(blob)

    assert plan(drawn).free_bytes == 20


def part_of(drawn: Drawn) -> FileEntry:
    """Write a part of one of the model's blobs, and return its file."""
    file = FileEntry("late.bin", 2 * SEGMENT_BYTES, "e" * 64)
    with IncomingBlob(drawn.base, file.digest, file.size_bytes) as incoming:
        arriving = incoming.gap(0, 1)
        assert arriving is not None
        arriving.write(memoryview(b"x" * SEGMENT_BYTES))
    drawn.files["org/name", commit("a")].append(file)
    return file


def test_what_arrived_in_part_goes_too(tmp_path: Path) -> None:
    """A part of the model's blob goes with its map, and counts the bytes that were written."""
    drawn = lay(tmp_path, ONE)
    file = part_of(drawn)

    found = plan(drawn)
    freed = remove(drawn)

    assert found.parts == (file.digest,)
    assert found.free_bytes == SEGMENT_BYTES + 3020
    assert freed.allocated_bytes >= SEGMENT_BYTES
    assert not drawn.base.part(file.digest).exists()
    assert not drawn.base.part_map(file.digest).exists()


def test_a_part_that_is_being_fetched_stays(tmp_path: Path) -> None:
    """A part that is being fetched stays, because another model's pull may be working on it."""
    drawn = lay(tmp_path, ONE)
    file = part_of(drawn)

    with try_lock(drawn.base.path, drawn.base.part_lock(file.digest)):
        delete.execute(drawn.base, plan(drawn))

    assert drawn.base.part(file.digest).exists()


def test_a_model_that_never_arrived_is_removed(tmp_path: Path) -> None:
    """Removing a model that was never downloaded deletes its refs and the folders that become empty."""
    drawn = lay(tmp_path, "model org/name\nref main a\nref deep/er/x a\nref deep/y b")

    delete.execute(drawn.base, delete.plan_removal(drawn.base, "org/name", commit("a"), [FileEntry("x", 1, "d")], ()))

    repo = drawn.base.repo("org/name")
    assert scan.refs(repo) == {"deep/y": commit("b")}
    assert sorted(path.name for path in repo.refs.rglob("*")) == ["deep", "y"]


def test_a_view_takes_the_place_of_what_goes(tmp_path: Path) -> None:
    """What a view has of the repository replaces blobs and refs, keeps links, and frees what the bytes took."""
    drawn = lay(tmp_path, ONE)
    files, repo = drawn.of("org/name", "a"), drawn.base.repo("org/name")
    blobs = {str(repo.blob(file.digest)): Link(f"/elsewhere/{file.digest}") for file in files}
    links = {str(path): Link(str(path.readlink())) for _, path in scan.snapshot_files(repo, commit("a"))}
    ref, gone = repo.ref(RefName("main")), repo.snapshot(commit("b")) / "x"
    views: dict[str, Entry] = {**blobs, **links, str(ref): Text("1"), str(gone): Text("2")}
    found = delete.plan_removal(drawn.base, "org/name", commit("a"), files, (), (), views)

    freed = delete.execute(drawn.base, found)

    assert freed.apparent_bytes >= found.free_bytes == 3020
    assert scan.viewed(repo) == {file.digest for file in files}
    assert {str(path): Link(str(path.readlink())) for _, path in scan.snapshot_files(repo, commit("a"))} == links
    assert ref.read_text() == "1"
    assert not repo.ref(RefName("refs/pr/1")).exists()
    again = delete.execute(drawn.base, found)
    assert again.apparent_bytes < 100


def test_on_a_full_disk_a_copy_goes_without_its_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no link can be made, the file still goes, so that there is room for the view."""
    drawn = lay(tmp_path, ONE)
    files, repo = drawn.of("org/name", "a"), drawn.base.repo("org/name")
    blob = repo.blob(files[0].digest)
    views: dict[str, Entry] = {str(blob): Link("/elsewhere/blob")}

    def full(target: str, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", target)

    monkeypatch.setattr(os, "symlink", full)
    delete.execute(drawn.base, delete.plan_removal(drawn.base, "org/name", commit("a"), files, (), (), views))

    assert not is_there(blob)


def test_a_snapshot_of_a_view_keeps_no_bytes(tmp_path: Path) -> None:
    """A blob that another snapshot needs stays, unless that snapshot is a view's: then its link takes the place."""
    drawn = lay(tmp_path, TWO)
    repo, files = drawn.base.repo("org/name"), drawn.of("org/name", "a")
    common = repo.blob(drawn.digest("org/name", "a", "common.bin"))
    assert str(common) not in delete.plan_removal(drawn.base, "org/name", commit("a"), files, ()).blobs
    others = {str(path): Link(str(path.readlink())) for _, path in scan.snapshot_files(repo, commit("b"))}
    views: dict[str, Entry] = {**others, str(common): Link("/elsewhere/common")}

    delete.execute(drawn.base, delete.plan_removal(drawn.base, "org/name", commit("a"), files, (), (), views))

    assert str(common.readlink()) == "/elsewhere/common"
    assert scan.snapshots(repo) == [commit("b")]
