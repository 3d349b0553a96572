"""What the mount table says about a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.errors import BadInput
from modelshelf.store.mounts import check_outlives, mount_of, mount_that_may_hang, mounts, read_table
from tests.store.fuse import share

TABLE = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 0:30 / /mnt/z rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=Z:\;uid=1000
31 22 0:31 / /mnt/my\040share rw - cifs //nas/share rw,vers=3.1.1
32 22 0:32 / /mnt/nas ro,relatime - nfs4 nas:/export rw
33 22 8:1 /sub /mnt/usb rw - fuseblk /dev/sdb1 rw,user_id=0
34 33 8:2 / /mnt/usb rw - ext4 /dev/sdc1 ro
not a line
"""


@pytest.mark.parametrize(
    ("path", "point", "kind", "read_only", "is_network"),
    [
        ("/home/me/x", "/", "ext4", False, False),
        ("/mnt/z/llm", "/mnt/z", "drvfs", False, True),
        ("/mnt/my share/a", "/mnt/my share", "cifs", False, True),
        ("/mnt/nas", "/mnt/nas", "nfs4", True, True),
        ("/mnt/nas2", "/", "ext4", False, False),
        ("/mnt/usb/a", "/mnt/usb", "ext4", True, False),
    ],
)
def test_a_path_lies_on_the_deepest_and_latest_mount(
    path: str, point: str, kind: str, read_only: bool, is_network: bool
) -> None:
    """A path is on its deepest, latest mount: Windows drives, network mounts, escaped blanks, read-only, stacked."""
    mount = mount_of(Path(path), TABLE)

    assert (mount.point, mount.kind, mount.read_only, mount.is_network) == (point, kind, read_only, is_network)


@pytest.mark.parametrize(("point", "expected"), [("/", True), ("/data", False)], ids=["root", "mounted"])
def test_the_own_layer_of_a_container_is_the_overlay_at_its_root(point: str, expected: bool) -> None:
    """A container's own layer is the overlay at its root; a volume that is an overlay outlives the container."""
    mount = mount_of(Path("/data/x"), f"22 1 0:50 / {point} rw - overlay overlay rw,lowerdir=/l")

    assert mount.is_container_layer is expected


LAYER = "22 1 0:50 / / rw - overlay overlay rw,lowerdir=/l\n23 22 8:1 / /data rw - ext4 /dev/sda1 rw"


@pytest.mark.parametrize(
    ("require", "bases", "warned"),
    [(None, ["/data/a", "/b"], True), (None, ["/data/a"], False), (False, ["/b"], False), (True, ["/data/a"], False)],
)
def test_a_base_that_would_vanish_is_warned_of(
    require: bool | None, bases: list[str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A base in a container's own layer gets a warning that says what to mount; a mounted one doesn't."""
    check_outlives(bases, require=require, table=LAYER)

    assert ("/b: on the container's own layer" in caplog.text, ":/b" in caplog.text) == (warned, warned)


def test_a_base_that_would_vanish_is_refused_on_request() -> None:
    """A base in a container's own layer is refused on request before anything is written."""
    with pytest.raises(BadInput, match="/b and /c: on the container's own layer"):
        check_outlives(["/b", "/data", "/c"], require=True, table=LAYER)


def test_the_table_of_this_process_knows_proc() -> None:
    """The real mount table lists proc."""
    assert mount_of(Path("/proc/self")).kind == "proc"


@pytest.mark.parametrize(
    ("kind", "may_hang", "largest"),
    [
        ("ext4", False, None),
        ("exfat", False, None),
        ("vfat", False, 2**32 - 1),
        ("msdos", False, 2**32 - 1),
        ("fuseblk", True, None),
        ("fuse.sshfs", True, None),
        ("9p", True, None),
        ("drvfs", True, None),
        ("cifs", True, None),
        ("nfs4", True, None),
    ],
)
def test_a_kind_says_what_cannot_be_tried(kind: str, may_hang: bool, largest: int | None) -> None:
    """The kind of file system says whether a server must answer, and how large a file may be."""
    mount = mount_of(Path("/data/x"), f"22 1 0:50 / /data rw - {kind} source rw")

    assert (mount.may_hang, mount.max_file_bytes) == (may_hang, largest)
    assert mount.named == f"{kind} (source at /data)"


def test_a_system_without_a_table_has_no_shares(tmp_path: Path) -> None:
    """On a system without a mount table, no path is on a network mount."""
    table = read_table(tmp_path / "none")

    assert (table, mount_of(tmp_path, table).kind) == ("", "")


def test_what_leads_to_a_share_is_on_it(tmp_path: Path) -> None:
    """A base that is a link to a network mount counts as on it; a local disk doesn't."""
    with share(tmp_path / "nas") as mounted:
        link = tmp_path / "link"
        link.symlink_to(mounted.path)

        found = mount_that_may_hang(link / "x.lock")

        assert found is not None
        assert found.point == str(mounted.path)
    assert mount_that_may_hang(tmp_path / "x.lock") is None


def test_the_options_of_a_mount_are_known() -> None:
    """The options of a mount and those of its file system are told together."""
    [mount] = mounts("30 22 0:30 / /mnt rw,noatime - ext4 /dev/sda1 rw,errors=remount-ro")

    assert mount.options == {"rw", "noatime", "errors=remount-ro"}
    assert not mount.read_only
