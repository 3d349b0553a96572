"""Bytes with two names: hard links and reflinks, tried in truth, for no number of a device tells what works."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

from modelshelf.errors import Denied
from modelshelf.store import fs
from modelshelf.store.os_errors import FULL, as_shelf_error, translate_errors

_FICLONE = 0x40049409


def probe_share(source: Path, folder: Path) -> str:
    """Return how bytes get from one folder to another: `link`, `reflink` or `copy`; nothing is left behind."""
    fs.make_folder(folder)
    with fs.replacing(folder / ".probe") as probe:
        how = _link_or_clone(source, probe) or "copy"
        probe.unlink(missing_ok=True)
    return how


def probe_links(folder: Path) -> tuple[bool, bool, bool]:
    """Return whether a file system has symbolic links, hard links and reflinks; nothing is left behind."""
    fs.make_folder(folder)
    source, *links = (folder / f".probe.{fs.unique()}{fs.TEMPORARY}" for _ in range(4))
    makers: list[Callable[[Path, Path], object]] = [os.symlink, os.link, _must_clone]
    found = []
    try:
        with translate_errors(source):
            source.write_bytes(b"x")
        for link, make in zip(links, makers, strict=True):
            try:
                make(source, link)
                found.append(True)
            except OSError as err:
                if err.errno in FULL:
                    raise as_shelf_error(err, link) from err
                found.append(False)
        return found[0], found[1], found[2]
    finally:
        for path in (*links, source):  # a link never leads nowhere
            path.unlink(missing_ok=True)


def _must_clone(source: Path, target: Path) -> None:
    if not _clone(source, target):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), str(target))


def share(source: Path, target: Path) -> str:
    """Give the bytes of `source` a second name without copying them, in place of what is there.

    Returns:
        `link` for a hard link, `reflink` for shared extents, empty when neither works here. Go by what the calls say:
        a bind mount of the same file system refuses both links and renames though its device number is equal.

    **Crash:** nothing, or the whole file under its name; at worst a `.shelf-tmp` beside it.
    """
    fs.make_folder(target.parent)
    with translate_errors(target):
        if fs.try_link(source, target):
            fs.fsync_folder(target.parent)
            return "link"
    with fs.replacing(target) as temporary:
        return _link_or_clone(source, temporary)


def merge_by_reflink(source: Path, target: Path) -> bool:
    """Let a file have the extents of another one of equal bytes; returns whether that worked.

    Owner, mode and times stay the target's own. A file that would change its owner is left as it is.

    **Crash:** the old file or the new one, whose bytes are the same; at worst a `.shelf-tmp` beside it.
    """
    with fs.replacing(target) as temporary:
        worked = _clone(source, temporary) and _take_after(temporary, target.lstat())
        if not worked:
            temporary.unlink(missing_ok=True)
    return worked


def merge_by_link(source: Path, target: Path) -> fs.Freed | None:
    """Let a name lead to another file of equal bytes; returns what that freed, None when it did not work.

    The one file is readable for all who could read either of the two, and writable for nobody, as in the shared
    store: who writes in place would change both. Files of different owners are left apart, unless all may read them.

    **Crash:** the old file or the one both share, whose bytes are the same; at worst a `.shelf-tmp` beside it.
    """
    one, other = source.lstat(), target.lstat()
    mode = (one.st_mode | other.st_mode) & 0o444
    if (one.st_uid, one.st_gid) != (other.st_uid, other.st_gid) and mode != 0o444:
        return None
    try:
        with fs.replacing(target) as temporary:
            os.link(source, temporary, follow_symlinks=False)
            temporary.chmod(mode)
    except (Denied, OSError):
        return None
    return fs.Freed() if other.st_nlink > 1 else fs.Freed(other.st_size, other.st_blocks * 512)


def _take_after(path: Path, model: os.stat_result) -> bool:
    """Give a file the owner, mode and times of another; returns whether it could have the owner."""
    found = path.lstat()
    if (found.st_uid, found.st_gid) != (model.st_uid, model.st_gid):
        try:
            os.chown(path, model.st_uid, model.st_gid, follow_symlinks=False)
        except OSError:
            return False
    path.chmod(stat.S_IMODE(model.st_mode))
    os.utime(path, ns=(model.st_atime_ns, model.st_mtime_ns), follow_symlinks=False)
    return True


def _link_or_clone(source: Path, temporary: Path) -> str:
    if fs.try_link(source, temporary):
        return "link"
    return "reflink" if _clone(source, temporary) else ""


def _clone(source: Path, temporary: Path) -> bool:
    """Make a file that shares the extents of another, durably; returns whether the file system can.

    Source: Linux `ioctl_ficlone(2)`.
    """
    if not os.access(source, os.R_OK):
        return False
    with source.open("rb") as old, temporary.open("xb") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError as err:
            if err.errno in FULL:
                raise as_shelf_error(err, temporary) from err
            temporary.unlink()
            return False
        fs.share_as_folder(temporary)
        os.fsync(new.fileno())
    return True
