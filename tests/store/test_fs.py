"""The module that alone changes a disk."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelshelf.domain.freed import Freed
from modelshelf.errors import Denied, OutOfSpace
from modelshelf.store import fs
from modelshelf.store.blobs import link_or_clone
from modelshelf.store.os_errors import as_shelf_error, translate_errors
from tests.builders import put
from tests.store.fuse import fuse_disk
from tests.store.loops import loop_disk
from tests.store.mounts import small_disk
from tests.store.users import USER, acting_as


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def allocated(path: Path) -> int:
    """Return how many bytes a file or folder takes on its disk."""
    return path.lstat().st_blocks * 512


def test_a_write_replaces_the_whole_text(tmp_path: Path) -> None:
    """A write makes the folder and replaces the whole text, and leaves nothing else."""
    path = tmp_path / "a" / "b.json"

    fs.write_text(tmp_path, path, "old")
    fs.write_text(tmp_path, path, "not yet durable", durable=False)
    fs.write_text(tmp_path, path, "näw")

    assert path.read_text(encoding="utf-8") == "näw"
    assert names_in(path.parent) == ["b.json"]


def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path) -> None:
    """A write that fails leaves the old text and no temporary file."""
    path = put(tmp_path / "b.json", b"old")

    with pytest.raises(UnicodeEncodeError):
        fs.write_text(tmp_path, path, "new \udcff")

    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["b.json"]


def test_a_name_that_is_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """A write to a folder's name raises the system's own error and leaves nothing behind."""
    (tmp_path / "taken").mkdir()

    with pytest.raises(IsADirectoryError):
        fs.write_text(tmp_path, tmp_path / "taken", "x")

    assert names_in(tmp_path) == ["taken"]


def test_a_full_disk_is_an_error_of_the_house(tmp_path: Path) -> None:
    """A write that doesn't fit raises OutOfSpace and leaves the old text."""
    with small_disk(tmp_path / "disk", 256 * 1024) as disk:
        path = put(disk / "a.json", b"old")

        with pytest.raises(OutOfSpace, match="The disk is full") as caught:
            fs.write_text(tmp_path, path, "x" * 10**6)

        assert path.read_bytes() == b"old"
        assert names_in(disk) == ["a.json"]
        assert str(disk) in str(caught.value.fields["path"])


def test_a_full_disk_ends_a_write_at_an_offset(tmp_path: Path) -> None:
    """A write at an offset that runs out of space is an error; what fitted stays."""
    with small_disk(tmp_path / "disk", 256 * 1024) as disk:
        part = disk / "x.part"
        fd = fs.open_part(tmp_path, part)
        try:
            with pytest.raises(OutOfSpace):
                fs.write_at(fd, memoryview(bytes(10**6)), 0, part)
        finally:
            os.close(fd)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get)
def test_no_more_bytes_is_out_of_space(code: int) -> None:
    """A quota and FAT32's 4 GiB limit are out of space too."""
    found = as_shelf_error(OSError(code, "no", "/mnt/x/file"), Path("/mnt/x"))

    assert isinstance(found, OutOfSpace)
    assert found.fields == {"path": "/mnt/x/file"}


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS], ids=errno.errorcode.get)
def test_a_refusal_is_denied(code: int) -> None:
    """A refusal is Denied, with a command that shows the owner."""
    found = as_shelf_error(OSError(code, "no"), Path("/mnt/x/file"))

    assert isinstance(found, Denied)
    assert found.hint.endswith("ls -ld /mnt/x")


def test_another_error_is_left_as_it_is() -> None:
    """Any other error of the system stays as it is."""
    err = OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken") as caught, translate_errors(Path("/x")):
        raise err

    assert caught.value is err
    assert err.__cause__ is None


def test_a_part_takes_bytes_at_any_offset(tmp_path: Path) -> None:
    """Bytes may be written to a part in any order; opening it again keeps them."""
    part = tmp_path / "in" / "x.part"

    for offset, data in ((3, b"def"), (0, b"abc")):
        fd = fs.open_part(tmp_path, part)
        fs.write_at(fd, memoryview(data), offset, part)
        os.close(fd)

    assert part.read_bytes() == b"abcdef"


def test_publishing_gives_bytes_their_name(tmp_path: Path) -> None:
    """Publishing moves the part to the blob's name and replaces what was there."""
    part = put(tmp_path / "in" / "x.part", b"new")
    target = put(tmp_path / "blobs" / "x", b"old")

    fs.publish(tmp_path, part, target)

    assert target.read_bytes() == b"new"
    assert not part.exists()


def test_what_is_set_aside_is_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    """Two damaged blobs of one name get different names in quarantine."""
    found = [fs.set_aside(tmp_path, put(tmp_path / "x", data), tmp_path / "quarantine") for data in (b"one", b"two")]

    assert [path.read_bytes() for path in found] == [b"one", b"two"]
    assert not (tmp_path / "x").exists()


def test_what_a_deleted_file_frees_is_measured(tmp_path: Path) -> None:
    """A deleted file's freed length and blocks are measured; they differ where it has holes."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(10**6)
        file.write(b"x" * 5000)
    expected = Freed(10**6, allocated(path))

    freed = fs.remove_file(tmp_path, path)

    assert freed == expected
    assert freed.allocated_bytes < freed.apparent_bytes
    assert not path.exists()


def test_a_hard_link_frees_nothing_until_it_is_the_last(tmp_path: Path) -> None:
    """Deleting a hard link frees nothing while another one exists."""
    path = put(tmp_path / "a", b"x" * 5000)
    (tmp_path / "b").hardlink_to(path)
    expected = Freed(5000, allocated(path))

    assert fs.remove_file(tmp_path, path) == Freed()
    assert fs.remove_file(tmp_path, tmp_path / "b") == expected


def test_a_link_is_deleted_and_not_what_it_points_to(tmp_path: Path) -> None:
    """Deleting a link leaves its target, be it a file, a folder or missing."""
    target = put(tmp_path / "outside" / "precious", b"x" * 5000)
    for name, to in (("file", target), ("folder", target.parent), ("nothing", tmp_path / "gone")):
        link = tmp_path / name
        link.symlink_to(to)

        assert fs.remove_tree(tmp_path, link).apparent_bytes == len(os.fspath(to))
        assert not link.is_symlink()

    assert target.read_bytes() == b"x" * 5000


def test_what_is_gone_frees_nothing(tmp_path: Path) -> None:
    """Deleting a missing file frees nothing and isn't an error."""
    assert fs.remove_file(tmp_path, tmp_path / "gone") == Freed()
    assert fs.remove_tree(tmp_path, tmp_path / "gone") == Freed()
    assert fs.remove_empty_folder(tmp_path, tmp_path / "gone") == Freed()


def test_a_tree_is_deleted_without_following_a_link(tmp_path: Path) -> None:
    """A tree is deleted without following links, and the freed bytes are the sum of its parts."""
    outside = put(tmp_path / "outside" / "precious", b"x")
    tree = tmp_path / "tree"
    file = put(tree / "a" / "b", b"x" * 5000)
    (tree / "a" / "evil").symlink_to(outside.parent)
    parts = [file, tree / "a" / "evil", tree / "a", tree]
    expected = Freed(sum(path.lstat().st_size for path in parts), sum(map(allocated, parts)))

    assert fs.remove_tree(tmp_path, tree) == expected

    assert not tree.exists()
    assert outside.read_bytes() == b"x"


def test_a_folder_that_is_not_empty_stays(tmp_path: Path) -> None:
    """A folder that isn't empty stays, and frees nothing."""
    file = put(tmp_path / "a" / "b", b"x")

    assert fs.remove_empty_folder(tmp_path, file.parent) == Freed()
    assert file.exists()


def test_an_empty_folder_frees_itself(tmp_path: Path) -> None:
    """Deleting an empty folder frees the size that `du` counts for it."""
    folder = tmp_path / "a"
    folder.mkdir()
    expected = Freed(folder.lstat().st_size, allocated(folder))

    assert fs.remove_empty_folder(tmp_path, folder) == expected


@pytest.mark.parametrize(
    ("folder_mode", "mode", "readable"),
    [(0o755, 0o600, 0o644), (0o750, 0o600, 0o640), (0o700, 0o600, 0o600), (0o755, 0o444, 0o444)],
)
def test_whoever_may_enter_the_folder_may_read_the_file(
    tmp_path: Path, folder_mode: int, mode: int, readable: int
) -> None:
    """A listing that huggingface_hub wrote with mode 0600 gets the permissions of its folder."""
    path = put(tmp_path / "trees" / "c.json", b"{}")
    path.chmod(mode)
    path.parent.chmod(folder_mode)

    fs.take_folder_permissions(tmp_path, path)

    assert stat.S_IMODE(path.stat().st_mode) == readable


def test_making_a_file_readable_that_is_gone_is_no_error(tmp_path: Path) -> None:
    """Making a missing file readable isn't an error."""
    fs.take_folder_permissions(tmp_path, tmp_path / "gone")

    assert not (tmp_path / "gone").exists()


def test_a_link_replaces_what_is_there(tmp_path: Path) -> None:
    """A link replaces what is there in one step and leaves nothing else."""
    put(tmp_path / "x", b"old")

    fs.make_link(tmp_path, tmp_path / "x", "somewhere")

    assert os.fspath((tmp_path / "x").readlink()) == "somewhere"
    assert names_in(tmp_path) == ["x"]


def test_a_link_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """A link that can't be made leaves neither a temporary link nor a missing target."""
    put(tmp_path / "taken" / "file", b"")

    with pytest.raises(IsADirectoryError):
        fs.make_link(tmp_path, tmp_path / "taken", "somewhere")

    assert names_in(tmp_path) == ["taken"]


def test_bytes_are_shared_within_a_disk(tmp_path: Path) -> None:
    """Within a disk bytes get a second name that replaces what was there; the probe says so and leaves nothing."""
    source = put(tmp_path / "a" / "x", b"bytes")
    target = put(tmp_path / "b" / "x", b"old")

    assert link_or_clone.likely_share(tmp_path / "a", tmp_path) == "link"
    assert (
        link_or_clone.probe_share(tmp_path, source, tmp_path / "c")
        == link_or_clone.share(tmp_path, source, target)
        == "link"
    )

    assert target.samefile(source)
    assert names_in(tmp_path / "b") == ["x"]
    assert names_in(tmp_path / "c") == []


def test_subvolumes_share_extents(tmp_path: Path) -> None:
    """Btrfs subvolumes have different device numbers and refuse hard links, and still share extents."""
    with loop_disk(tmp_path, "btrfs") as disk:
        for name in ("one", "two"):
            subprocess.run(["btrfs", "subvolume", "create", str(disk / name)], check=True, capture_output=True)
        source, folder = put(disk / "one" / "x", b"bytes"), disk / "two"

        assert (
            link_or_clone.likely_share(disk / "one", folder)
            == link_or_clone.probe_share(folder, source, folder)
            == "reflink"
        )


def test_between_disks_bytes_have_to_be_copied(tmp_path: Path) -> None:
    """Between disks neither links nor clones work; what is there stays, and nothing is left behind."""
    source = put(tmp_path / "x", b"bytes")
    with small_disk(tmp_path / "disk", 2**20) as disk:
        target = put(disk / "x", b"old")

        assert link_or_clone.likely_share(tmp_path, disk) == link_or_clone.probe_share(tmp_path, source, disk) == "copy"
        assert link_or_clone.share(tmp_path, source, target) == ""

        assert target.read_bytes() == b"old"
        assert names_in(disk) == ["x"]


def test_sharing_on_a_full_disk_is_out_of_space(tmp_path: Path) -> None:
    """A link on a disk without free inodes raises OutOfSpace."""
    with small_disk(tmp_path / "disk", 2**20, "nr_inodes=4") as disk:
        source = put(disk / "a", b"bytes")
        while (full := _fill(disk)) is None:
            pass
        with pytest.raises(OutOfSpace):
            link_or_clone.share(tmp_path, source, disk / "b")
        assert full.errno == errno.ENOSPC


def _fill(disk: Path) -> OSError | None:
    """Make one more file; return the error of the first that doesn't fit."""
    try:
        put(disk / f"fill-{len(names_in(disk))}", b"")
    except OSError as err:
        return err
    return None


def test_a_folder_that_cannot_be_synced_is_left(tmp_path: Path) -> None:
    """A file system that can't sync folders, like /proc, is accepted; a missing folder is still an error."""
    fs.fsync_folder(Path("/proc/self"), Path("/proc/self"))
    with pytest.raises(FileNotFoundError):
        fs.fsync_folder(tmp_path, tmp_path / "none")


def test_a_folder_is_renamed_only_to_a_free_name(tmp_path: Path) -> None:
    """A folder is never renamed onto an existing name, not even an empty folder's."""
    (tmp_path / "old").mkdir()
    (tmp_path / "taken").mkdir()

    with pytest.raises(FileExistsError):
        fs.rename_folder(tmp_path, tmp_path / "old", tmp_path / "taken")
    fs.rename_folder(tmp_path, tmp_path / "old", tmp_path / "new")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "taken"]


def test_a_secret_is_never_readable_for_others(tmp_path: Path) -> None:
    """A secret has its mode from the first byte on; a copy can take its source's mode and times."""
    secret, copy = tmp_path / "token", tmp_path / "copy"
    fs.write_text(tmp_path, secret, "x", mode=0o600)
    os.utime(secret, (1, 2))
    copy.write_text("x")

    fs.take_mode(tmp_path, copy, secret)

    assert [path.stat().st_mode & 0o777 for path in (secret, copy)] == [0o600, 0o600]
    assert copy.stat().st_mtime == 2


def test_what_a_file_held_is_kept_beside_it(tmp_path: Path) -> None:
    """Each backup of a file has its own name, whatever is written to the file afterwards."""
    path = tmp_path / "x.service"
    for text in ("one", "two", "three"):
        fs.write_text(tmp_path, path, text)
        fs.back_up(tmp_path, path)
    fs.write_text(tmp_path, path, "four")

    kept = {name: (tmp_path / name).read_text() for name in names_in(tmp_path)}
    assert kept == {"x.service": "four", "x.service.bak": "one", "x.service.bak2": "two", "x.service.bak3": "three"}


def test_without_hard_links_what_a_file_held_is_copied(tmp_path: Path) -> None:
    """Without hard links a backup is a copy with the same time."""
    with fuse_disk(tmp_path, "FAT32") as disk:
        path = put(disk / "x.service", b"one")
        os.utime(path, (10**9, 10**9))

        kept = fs.back_up(tmp_path, path)
        path.write_bytes(b"two")

        assert (kept.read_bytes(), kept.stat().st_mtime) == (b"one", 10**9)


def test_another_users_file_is_backed_up_as_a_copy(open_path: Path) -> None:
    """Another user's file is backed up as a copy with its mode and time, because the system refuses a hard link."""
    path = put(open_path / "folder" / "x.service", b"one")
    os.utime(path, (10**9, 10**9))
    path.parent.chmod(0o777)

    with acting_as():
        kept = fs.back_up(path.parent, path)

    assert (kept.read_bytes(), kept.stat().st_mtime, kept.stat().st_mode & 0o777) == (b"one", 10**9, 0o644)


@pytest.mark.parametrize(
    ("source", "why"),
    [("gone", "it doesn't exist."), ("file", "it works now."), (".", "the kernel lets only its owner")],
)
def test_why_a_file_cannot_have_a_second_name_is_said(tmp_path: Path, source: str, why: str) -> None:
    """The kernel's reasons against a second name are told apart, and nothing is left behind."""
    (tmp_path / "file").touch()

    assert link_or_clone.why_not_linked(tmp_path, tmp_path / source, tmp_path).startswith(why)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="what root writes for another user needs root")
def test_what_threads_write_into_a_new_folder_belongs_to_whom_the_base_belongs(tmp_path: Path) -> None:
    """In a new folder every file gets the base's owner, even if one thread creates the folder while others write."""
    base = tmp_path / "base"
    base.mkdir()
    os.chown(base, USER, USER)

    for number in range(40):
        folder, together = base / str(number) / "incoming", threading.Barrier(6)

        def write(name: int, folder: Path = folder, together: threading.Barrier = together) -> None:
            together.wait()
            os.close(fs.open_part(base, folder / f"{name}.part"))

        threads = [threading.Thread(target=write, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert {path.stat().st_uid for path in base.rglob("*")} == {USER}


def test_links_of_one_folder_leave_what_is_there(tmp_path: Path) -> None:
    """Links are made in a folder that is new, and a name that is taken keeps what it has."""
    put(tmp_path / "root/deep/taken", b"theirs")

    fs.create_links(tmp_path / "root", tmp_path / "root/deep", {"taken": "../a", "free": "../b"})

    assert (tmp_path / "root/deep/taken").read_bytes() == b"theirs"
    assert str((tmp_path / "root/deep/free").readlink()) == "../b"


@pytest.mark.skipif(os.geteuid() != 0, reason="what root writes for another user needs root")
def test_a_link_that_root_makes_in_a_users_folder_is_that_users(tmp_path: Path) -> None:
    """A link belongs to the owner of its folder, whichever call made it."""
    folder = tmp_path / "root"
    folder.mkdir()
    os.chown(folder, USER, USER)

    fs.create_links(folder, folder, {"one": "a"})
    fs.create_link(folder, folder / "two", "a")

    assert {os.lstat(folder / name).st_uid for name in ("one", "two")} == {USER}


def test_several_texts_are_written_or_the_old_ones_stay(tmp_path: Path) -> None:
    """Several files are written through one pool, and if one of them can't be, the others keep their old texts."""
    texts = {tmp_path / "root/a/one": "1", tmp_path / "root/b/two": "2", tmp_path / "root/b/three": "3"}
    with ThreadPoolExecutor(2) as pool:
        fs.write_texts(tmp_path / "root", texts, pool.map)
    assert {path: path.read_text() for path in texts} == texts

    (tmp_path / "root/b/three").unlink()
    (tmp_path / "root/b/three").mkdir()
    with pytest.raises(OSError, match="three"):
        fs.write_texts(tmp_path / "root", {tmp_path / "root/b/three": "3", **dict.fromkeys(texts, "new")})

    assert (tmp_path / "root/a/one").read_text() == "1"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["one", "two"]
