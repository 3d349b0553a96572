"""No change leaves the root, and what a call didn't create keeps its mode."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelshelf.errors import Conflict, Denied
from modelshelf.store import fs
from modelshelf.store.blobs import link_or_clone
from modelshelf.store.folders import opened, place, sync_folder
from modelshelf.store.locks import remove_unused, try_lock
from modelshelf.store.os_errors import as_shelf_error
from tests.builders import put
from tests.canary import picture

NOT_MINE = 4711


def _take_lock(root: Path, path: Path) -> None:
    with try_lock(root, path):
        pass


def _scratch(root: Path, path: Path) -> None:
    with fs.scratch_file(root, path.parent):
        pass


MUTATORS: dict[str, Callable[[Path, Path], object]] = {
    "make_folder": lambda root, path: fs.make_folder(root, path / "new"),
    "fsync_folder": lambda root, path: fs.fsync_folder(root, path.parent),
    "take_folder_permissions": fs.take_folder_permissions,
    "write_text": lambda root, path: fs.write_text(root, path, "new"),
    "write_text, no folder": lambda root, path: fs.write_text(root, path.parent / "new" / "x", "new"),
    "back_up": fs.back_up,
    "scratch_file": _scratch,
    "create_text": lambda root, path: fs.create_text(root, path.with_name("new"), "new"),
    "touch": lambda root, path: fs.touch(root, path.with_name("new")),
    "open_part": lambda root, path: os.close(fs.open_part(root, path)),
    "publish": lambda root, path: fs.publish(root, path, root / "new"),
    "publish to": lambda root, path: fs.publish(root, put(root / "part", b"new"), path),
    "make_link": lambda root, path: fs.make_link(root, path, "new"),
    "rename_folder": lambda root, path: fs.rename_folder(root, path, root / "new"),
    "rename_folder to": lambda root, path: fs.rename_folder(root, root / "other", path.with_name("new")),
    "take_mode": lambda root, path: fs.take_mode(root, path, root / "other"),
    "set_aside": lambda root, path: fs.set_aside(root, path, root / "aside"),
    "set_aside to": lambda root, path: fs.set_aside(root, root / "other", path.parent),
    "remove_file": fs.remove_file,
    "remove_empty_folder": lambda root, path: fs.remove_empty_folder(root, path.with_name("empty")),
    "remove_tree": fs.remove_tree,
    "remove_tree of a folder": lambda root, path: fs.remove_tree(root, path.parent),
    "share": lambda root, path: link_or_clone.share(root, root / "other", path),
    "merge_by_link": lambda root, path: link_or_clone.merge_by_link(root, root / "other", path),
    "merge_by_link of": lambda root, path: link_or_clone.merge_by_link(root, path, root / "other"),
    "merge_by_reflink": lambda root, path: link_or_clone.merge_by_reflink(root, root / "other", path),
    "probe_share": lambda root, path: link_or_clone.probe_share(root, root / "other", path.parent),
    "probe_links": lambda root, path: link_or_clone.probe_links(root, path.parent),
    "try_lock": _take_lock,
    "remove_unused": remove_unused,
}
QUIET = ("merge_by_link", "merge_by_link of", "remove_unused")
"""Functions that report by their return value that nothing was done."""

mutators = pytest.mark.parametrize("name", MUTATORS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A base with `a/b/x`, and beside it a folder with the same layout that must not change."""
    for top in ("root/a", "outside"):
        put(tmp_path / top / "b" / "x", b"theirs")
        put(tmp_path / top / "x", b"theirs")
        for folder in ("", "b"):
            (tmp_path / top / folder / "empty").mkdir()
    put(tmp_path / "root" / "other", b"mine")
    (tmp_path / "outside").chmod(0o700)
    return tmp_path / "root"


def plant(path: Path, target: Path) -> None:
    """Put a link in place of a file or folder."""
    path.rename(path.with_name(f"{path.name}.was"))
    path.symlink_to(target)


def attempt(name: str, root: Path, path: Path) -> BaseException | None:
    """Try one change; return how it was refused."""
    try:
        MUTATORS[name](root, path)
    except (Denied, OSError) as err:
        return err
    return None


@mutators
@pytest.mark.parametrize("where", ["a", "a/b"])
def test_no_way_leads_through_a_link(root: Path, name: str, where: str) -> None:
    """A refusal names the folder that is a link, at any depth, and nothing behind it changes."""
    outside = root.parent / "outside"
    plant(root / where, outside)
    path = root / "a/b/x"
    if name == "remove_tree of a folder" and where == "a/b":
        path = path.parent / "b" / "x"
    before = picture(outside)

    refused = attempt(name, root, path)

    assert picture(outside) == before
    if name not in QUIET:
        assert isinstance(refused, Denied)
        assert f"{root / where} is a link to {outside}" in refused.detail
        assert str(root / where) in refused.hint


@mutators
def test_no_way_leads_through_two_dots(root: Path, name: str) -> None:
    """A path with `..` is refused, even if it ends below the root."""
    outside = root.parent / "outside"
    before = picture(outside)

    for path in (root / "../outside/b/x", root / "a/../a/b/x", outside / "b/x"):
        refused = attempt(name, root, path)
        assert name in QUIET or isinstance(refused, Denied)

    assert picture(outside) == before


@mutators
@pytest.mark.parametrize("target", ["x", "empty", "new"], ids=["a file", "a folder", "nothing"])
def test_a_link_is_replaced_or_removed_and_not_what_it_leads_to(root: Path, name: str, target: str) -> None:
    """If a name is itself a link, the link is replaced or removed, not its target."""
    outside = root.parent / "outside"
    plant(root / "a/b/x", outside / target)
    for new in (root / "a/b/new", root / "a/b/x.bak"):
        new.symlink_to(outside / target)
    before = picture(outside)

    attempt(name, root, root / "a/b/x")

    assert picture(outside) == before


class Swap:
    """Replaces a folder by a link right before the next change, using Python's audit hook."""

    CHANGES = frozenset(
        {"os.remove", "os.rename", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.utime", "os.chmod", "os.chown"}
    )

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.target = Path()
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Inspect the change that is about to happen."""
        folder = self.folder
        if folder is None:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in self.CHANGES or writes:
            self.folder = None
            plant(folder, self.target)


SWAP = Swap()


@mutators
@pytest.mark.parametrize("where", ["a", "a/b"])
def test_a_folder_that_is_swapped_at_the_last_instant_changes_nothing_outside(
    root: Path, name: str, where: str
) -> None:
    """If a folder is swapped at the last moment, the change goes to the checked folder or is refused."""
    outside = root.parent / "outside"
    before = picture(outside)

    SWAP.folder, SWAP.target = root / where, outside
    try:
        attempt(name, root, root / "a/b/x")
    finally:
        SWAP.folder = None

    assert picture(outside) == before


@mutators
def test_the_root_itself_may_be_reached_through_links(root: Path, name: str) -> None:
    """A base may itself be a link, or be behind one."""
    (root.parent / "link").symlink_to(root.parent)
    (root.parent / "base").symlink_to("link/root")

    refused = attempt(name, root.parent / "base", root.parent / "base/a/b/x")

    assert not isinstance(refused, Denied)


def test_a_root_that_leads_nowhere_is_not_made_elsewhere(tmp_path: Path) -> None:
    """If the root is a dangling link, its target isn't created."""
    (tmp_path / "base").symlink_to(tmp_path / "gone")

    with pytest.raises(Denied, match="is a link"):
        fs.write_text(tmp_path / "base", tmp_path / "base/x", "new")

    assert not (tmp_path / "gone").exists()


def test_what_was_there_keeps_its_mode(tmp_path: Path) -> None:
    """Only the folders that a call creates get their folder's permissions, and none above the root."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "base" / "closed").mkdir(parents=True)
    (private / "base" / "closed").chmod(0o700)
    (private / "base").chmod(0o2775)

    fs.make_folder(private / "base", private / "base/closed/new")
    fs.make_folder(private / "base", private / "base/open/new")
    fs.make_folder(private / "far" / "base", private / "far/base/new")

    modes = {path: stat.S_IMODE((private / path).stat().st_mode) for path in (".", "base", "base/closed", "base/open")}
    assert modes == {".": 0o700, "base": 0o2775, "base/closed": 0o700, "base/open": 0o2775}


def test_a_file_with_another_name_keeps_its_mode(tmp_path: Path) -> None:
    """A file with another hard link keeps its mode, because that name is another program's."""
    path = put(tmp_path / "mine", b"x")
    path.chmod(0o600)
    (tmp_path / "theirs").hardlink_to(path)

    fs.take_folder_permissions(tmp_path, path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_of_another_user_keeps_its_mode(tmp_path: Path) -> None:
    """A file that belongs neither to this user nor to the folder's owner isn't opened to others."""
    if os.geteuid() != 0:
        pytest.skip("giving files to another user needs root")
    path = put(tmp_path / "theirs", b"x")
    path.chmod(0o600)
    os.chown(path, NOT_MINE, NOT_MINE)

    fs.take_folder_permissions(tmp_path, path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_in_the_place_of_a_folder_is_the_systems_own_error(tmp_path: Path) -> None:
    """A file in place of a folder raises the system's own error with the whole path."""
    put(tmp_path / "a", b"x")

    with pytest.raises(NotADirectoryError) as caught, place(tmp_path, tmp_path / "a" / "x"):
        pass

    assert caught.value.filename == str(tmp_path / "a" / "x")


def test_a_folder_that_is_missing_is_not_made_unasked(tmp_path: Path) -> None:
    """A missing root or folder isn't created unless the call says so."""
    for root in (tmp_path, tmp_path / "gone"):
        with pytest.raises(FileNotFoundError), opened(root, root / "gone"):
            pass

    assert list(tmp_path.iterdir()) == []


def test_a_rename_between_file_systems_says_what_to_mount(tmp_path: Path) -> None:
    """A rename between file systems, as with a hub on another disk, is an error that says what to mount."""
    found = as_shelf_error(OSError(18, "Invalid cross-device link", "x"), tmp_path / "x")

    assert isinstance(found, Conflict)
    assert found.detail.startswith(str(tmp_path / "x"))


def test_descriptors_are_closed(root: Path) -> None:
    """Neither a change nor a refusal leaves a descriptor open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in MUTATORS:
        with contextlib.suppress(Exception):
            MUTATORS[name](root, root / "a/b/x")
        with contextlib.suppress(Exception):
            MUTATORS[name](root, root / "a/../x")

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_names_that_cannot_be_made_durable_are_an_error(root: Path) -> None:
    """If a folder can't be synced it is an error, unless the file system can't sync folders at all."""
    with opened(root, root) as folder:
        sync_folder(folder)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_folder(folder)
