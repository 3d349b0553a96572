"""Bytes with two names: hard links and reflinks. Support is probed; device numbers don't tell."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.errors import Conflict, Denied
from modelshelf.store import fs
from modelshelf.store.folders import Place, place
from modelshelf.store.mounts import mount_of
from modelshelf.store.os_errors import FULL, as_shelf_error

_FICLONE = 0x40049409
_WHY_NOT = {
    errno.EXDEV: "it is on another file system.",
    errno.EPERM: "the kernel lets only its owner link it (fs.protected_hardlinks), or the file system has no links.",
    errno.EACCES: "this user can't read it.",
    errno.ENOENT: "it doesn't exist.",
    errno.EMLINK: "it has as many names as the file system allows.",
}
"""Why a hard link is refused. Source: Linux `link(2)`."""


def probe_share(root: Path, source: Path, folder: Path) -> str:
    """Try how bytes get from one folder to another: `link`, `reflink` or `copy`; leaves nothing behind."""
    with fs.replacing(root, folder / ".probe", make=True) as probe:
        how = _link_or_clone(source, probe) or "copy"
        fs.remove(probe)
    return how


def likely_share(source: Path, folder: Path) -> str:
    """Return how bytes will probably get from one folder to another, as `probe_share` says, without trying.

    Two mounts share no bytes. Within one mount, only btrfs subvolumes have different device numbers.
    """
    mount = mount_of(source)
    if mount != mount_of(folder):
        return "copy"
    if source.stat().st_dev == folder.stat().st_dev:
        return "link"
    return "reflink" if mount.kind == "btrfs" else "copy"


def why_not_linked(root: Path, source: Path, folder: Path) -> str:
    """Return why a file can't have a second name in a folder, in a sentence that tells the kernel's reasons apart."""
    with fs.replacing(root, folder / ".probe", make=True) as probe:
        try:
            fs.link(source, probe)
        except OSError as err:
            return _WHY_NOT.get(err.errno or 0, f"{err.strerror}.")
        fs.remove(probe)
    return "it works now."


def probe_links(root: Path, folder: Path) -> tuple[bool, bool, bool]:
    """Return whether a file system has symbolic links, hard links and reflinks; leaves nothing behind."""
    found: list[bool] = []
    with place(root, folder / f".probe.{fs.unique()}{fs.TEMPORARY}", make=True) as source:
        links = [source.beside(f".probe.{fs.unique()}{fs.TEMPORARY}") for _ in range(3)]
        try:
            with os.fdopen(source.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(b"x")
            for link, make in zip(links, (_symlink, _hard_link, _must_clone), strict=True):
                try:
                    make(source, link)
                    found.append(True)
                except OSError as err:
                    if err.errno in FULL:
                        raise
                    found.append(False)
        finally:
            for at in (*links, source):  # never a dangling link
                fs.remove(at)
    return found[0], found[1], found[2]


def _symlink(source: Place, target: Place) -> None:
    os.symlink(source.name, target.name, dir_fd=target.folder)


def _hard_link(source: Place, target: Place) -> None:
    os.link(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)


def _must_clone(source: Place, target: Place) -> None:
    if not _clone(source, target):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), str(target.path))


def share(root: Path, source: Path, target: Path) -> str:
    """Give the bytes of `source` a second name without copying them, replacing what is there.

    Returns:
        `link` for a hard link, `reflink` for shared extents, empty if neither works here. Only trying tells:
        a bind mount of the same file system refuses links and renames though its device number is equal.

    **Crash:** nothing, or the whole file under its name; at worst a `.shelf-tmp` beside it.
    """
    with place(root, target, make=True) as at:
        if fs.try_link(source, at):
            at.sync_folder()
            return "link"
    with fs.replacing(root, target) as temporary:
        return _link_or_clone(source, temporary)


def merge_by_reflink(root: Path, source: Path, target: Path) -> bool:
    """Make a file share the extents of another one with equal bytes; return whether that worked.

    Owner, mode and times stay the target's own. A file that would change its owner isn't merged.

    **Crash:** the old file or the new one, whose bytes are the same; at worst a `.shelf-tmp` beside it.
    """
    with fs.replacing(root, target) as temporary:
        worked = _clone(source, temporary) and _take_after(temporary, temporary.beside(target.name).status())
        if not worked:
            fs.remove(temporary)
    return worked


def merge_by_link(root: Path, source: Path, target: Path) -> Freed | None:
    """Make a path a hard link to another file with equal bytes; return what that freed, or None if it failed.

    The shared file is readable for all who could read either of the two, and writable for nobody, as in the shared
    store, because a write in place would change both. Files of different owners are merged only if all may read them.

    **Crash:** the old file or the shared one, whose bytes are the same; at worst a `.shelf-tmp` beside it.
    """
    try:
        with place(root, source) as keep, fs.replacing(root, target) as temporary:
            one, other = keep.status(), temporary.beside(target.name).status()
            mode = (one.st_mode | other.st_mode) & 0o444
            if (one.st_uid, one.st_gid) != (other.st_uid, other.st_gid) and mode != 0o444:
                return None
            fs.link(keep, temporary)
            temporary.chmod(mode)
    except (Conflict, Denied, OSError):  # another mount, or a link on the way
        return None
    return Freed() if other.st_nlink > 1 else Freed(other.st_size, other.st_blocks * 512)


def _take_after(at: Place, model: os.stat_result) -> bool:
    """Give a file the owner, mode and times of another; return whether the owner could be set."""
    found = at.status()
    if (found.st_uid, found.st_gid) != (model.st_uid, model.st_gid):
        try:
            os.chown(at.name, model.st_uid, model.st_gid, dir_fd=at.folder, follow_symlinks=False)
        except OSError:
            return False
    at.take(model)
    return True


def _link_or_clone(source: Path, temporary: Place) -> str:
    if fs.try_link(source, temporary):
        return "link"
    return "reflink" if _clone(source, temporary) else ""


def _clone(source: Path | Place, target: Place) -> bool:
    """Make a file that shares the extents of another, durably; return whether the file system can.

    Source: Linux `ioctl_ficlone(2)`.
    """
    path = source.held if isinstance(source, Place) else source
    if not os.access(path, os.R_OK):
        return False
    new = target.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with path.open("rb") as old, os.fdopen(new, "wb") as file:
        try:
            fcntl.ioctl(file.fileno(), _FICLONE, old.fileno())
        except OSError as err:
            if err.errno in FULL:
                raise as_shelf_error(err, target.path) from err
            fs.remove(target)
            return False
        target.take_folder_permissions()
        os.fsync(file.fileno())
    return True
