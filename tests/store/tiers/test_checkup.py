"""Inspecting a base for the doctor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.errors import BadInput
from modelshelf.store.layout import Base
from modelshelf.store.tiers import checkup, registry_file
from tests.builders import put
from tests.store.fuse import share

COMMIT = "c" * 40


def test_strays_are_told_by_name_alone(tmp_path: Path) -> None:
    """Strays are repositories beside `hub` and a `hub` in `hub`, and not links, files or other folders."""
    base = Base(tmp_path)
    for folder in ("models--a--b", "datasets--c", "hub/models--x", "hub/hub/models--y", "models", "other"):
        (tmp_path / folder).mkdir(parents=True)
    put(tmp_path / "models--file", b"")
    (tmp_path / "models--link").symlink_to(tmp_path / "other")

    assert [str(path.relative_to(tmp_path)) for path in checkup.strays(base)] == [
        "datasets--c",
        "models--a--b",
        "hub/hub/models--y",
    ]
    assert checkup.strays(Base(tmp_path / "none")) == []


def test_a_stray_without_a_snapshot_is_an_unfinished_download(tmp_path: Path) -> None:
    """A model's stray without a snapshot is an unfinished download; one that can't be entered isn't called so."""
    for folder in ("models--a/blobs", f"models--b/snapshots/{COMMIT}", "datasets--c/blobs"):
        (tmp_path / folder).mkdir(parents=True)
    put(tmp_path / "models--d" / "snapshots", b"no folder")

    assert [path.name for path in checkup.strays(Base(tmp_path)) if checkup.is_unfinished(path)] == ["models--a"]


def test_bytes_are_counted_below_a_folder(tmp_path: Path) -> None:
    """A link counts its own bytes, and a missing folder none."""
    put(tmp_path / "a/b/c", b"12345")
    (tmp_path / "a/link").symlink_to("b/c")

    assert checkup.tree_bytes(tmp_path / "a") == 5 + len("b/c")
    assert checkup.tree_bytes(tmp_path / "none") == 0


@pytest.mark.parametrize(("mode", "folder", "closed"), [(0o600, 0o755, 1), (0o644, 0o755, 0), (0o600, 0o700, 0)])
def test_lists_are_closed_by_their_folders_measure(tmp_path: Path, mode: int, folder: int, closed: int) -> None:
    """A list should be readable for those who may read its folder; a private base stays private."""
    base = Base(tmp_path)
    path = put(base.repo("o/n").tree(COMMIT), b"{}")
    path.chmod(mode)
    path.parent.chmod(folder)
    (path.parent / f"{'d' * 40}.json").symlink_to("nowhere")

    assert checkup.closed_trees(base) == [path] * closed
    assert checkup.open_trees(base) == [path] * closed
    assert checkup.closed_trees(base) == []


def test_a_file_has_a_mode_and_nothing_else_has(tmp_path: Path) -> None:
    """A token file has a mode; a folder of that name has none."""
    path = put(tmp_path / "token", b"x")
    path.chmod(0o640)

    assert [checkup.mode_of(p) for p in (path, tmp_path, tmp_path / "none")] == [0o640, None, None]


def test_a_disk_has_a_size(tmp_path: Path) -> None:
    """A disk's size is what `df` says."""
    found = os.statvfs(tmp_path)

    assert checkup.disk_bytes(Base(tmp_path)) == found.f_blocks * found.f_frsize


def test_a_registry_lies_in_the_primary_unless_told(tmp_path: Path) -> None:
    """By default the registry is in the primary; a server's has no file."""
    assert registry_file.place("", "/b") == ("sqlite:////b/modelshelf/registry.db", Path("/b/modelshelf/registry.db"))
    assert registry_file.place("sqlite:////x/r.db", "/b") == ("sqlite:////x/r.db", Path("/x/r.db"))
    assert registry_file.place("postgresql://h/n", "/b") == ("postgresql://h/n", None)


def test_a_registry_may_lie_on_a_disk_and_not_on_a_share(tmp_path: Path) -> None:
    """Whether a registry is on a local disk or a network mount is known before anything is created."""
    registry_file.check_place(None, tmp_path)
    registry_file.check_place(tmp_path / "new/registry.db", tmp_path)
    with share(tmp_path / "nas") as mounted, pytest.raises(BadInput, match=r"fuse\.sshfs"):
        registry_file.check_place(mounted.path / "new/registry.db", tmp_path)


def test_only_the_state_folder_is_made_for_a_registry(tmp_path: Path) -> None:
    """Only the state folder is created for a registry, because another missing folder may be an unmounted drive."""
    for path in (None, tmp_path / "drive/registry.db", tmp_path / "state/modelshelf/registry.db"):
        registry_file.make_room_for(path, tmp_path / "state")

    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert (tmp_path / "state/modelshelf").is_dir()


def test_a_folder_that_may_be_entered_is_not_closed(tmp_path: Path) -> None:
    """A folder that can be entered isn't closed, and neither is a missing one."""
    (tmp_path / "hub").mkdir()

    assert checkup.closed_folder(Base(tmp_path)) is None
    assert checkup.closed_folder(Base(tmp_path / "none")) is None
