"""The only module that changes a disk. Every durable step says what a crash leaves behind.

The durable write: temporary file in the same folder → write → fsync the file → rename → fsync the folder. A crash
leaves the old content or the new one, and at worst a temporary file.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.sharing import mode_in
from modelshelf.store.os_errors import FULL, as_shelf_error, translate_errors

TEMPORARY = ".shelf-tmp"
"""Suffix of our temporary files; garbage wherever it is found without its writer."""


def unique() -> str:
    """Return 8 hex that no other name has; `secrets` does the same and takes 5 ms to import."""
    return os.urandom(4).hex()


def fsync_folder(path: Path) -> None:
    """Make names in a folder durable, where the file system can: some shares and FUSE file systems refuse."""
    try:
        _fsync(path, os.O_DIRECTORY)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise


def _fsync(path: Path, flags: int = 0) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Create a folder and those above it, each as the one above it says; nothing when it is there."""
    with translate_errors(path):
        new = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
        path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(new):
        share_as_folder(folder)


def share_as_folder(path: Path) -> None:
    """Let all who may use the folder use what lies in it, whatever the umask; nothing when it is another's.

    What root writes belongs to whom the folder belongs: the user outside of a container can read and delete it.
    """
    with contextlib.suppress(OSError):
        found, folder = path.lstat(), path.parent.stat()
        if found.st_uid == 0 and folder.st_uid != 0 and os.geteuid() == 0:
            os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
        mode = mode_in(found.st_mode, folder.st_mode)
        if not stat.S_ISLNK(found.st_mode) and mode != stat.S_IMODE(found.st_mode):
            path.chmod(mode)


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a small file durably, all or nothing; the folder is created.

    **Crash:** the old file or the new one; at worst a `.shelf-tmp` beside it.
    """
    make_folder(path.parent)
    with replacing(path) as temporary:
        _write(temporary, text, mode)


def back_up(path: Path) -> Path:
    """Keep what a file holds beside it, as `NAME.bak` or under the next free name; returns that."""
    names = itertools.chain([f"{path.name}.bak"], (f"{path.name}.bak{number}" for number in itertools.count(2)))
    target = next(found for name in names if not os.path.lexists(found := path.with_name(name)))
    with translate_errors(target):
        if not try_link(path, target):
            shutil.copyfile(path, target)
            with contextlib.suppress(OSError):  # some of those that have no hard links have no modes either
                shutil.copystat(path, target)
        fsync_folder(path.parent)
    return target


@contextlib.contextmanager
def scratch_file(folder: Path) -> Iterator[int]:
    """Open an empty file for a moment; it has no name as long as the file system allows that, and none afterwards."""
    path = folder / f".probe.{unique()}{TEMPORARY}"
    with translate_errors(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(OSError):
            path.unlink()
        yield fd
    finally:
        os.close(fd)
        path.unlink(missing_ok=True)


def create_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a small file durably where there is none; of several that try at once one does it.

    Where there are no hard links, the last one does it.

    Raises:
        FileExistsError: There is one.
    """
    make_folder(path.parent)
    with replacing(path) as temporary:
        _write(temporary, text, mode)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:
            return
        temporary.unlink()
        fsync_folder(path.parent)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if mode & 0o077:  # a secret stays its owner's
            share_as_folder(path)
        os.fsync(file.fileno())


def touch(path: Path) -> None:
    """Create an empty file where there is none, for all who may use its folder."""
    os.close(_open_or_create(path, os.O_RDONLY))


def open_part(path: Path) -> int:
    """Open a part for reading and writing at offsets, creating it; returns the descriptor, which the caller closes."""
    make_folder(path.parent)
    return _open_or_create(path, os.O_RDWR)


def _open_or_create(path: Path, flags: int) -> int:
    with translate_errors(path):
        try:
            return os.open(path, flags | os.O_CLOEXEC)
        except FileNotFoundError:
            fd = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o644)
    share_as_folder(path)
    return fd


def write_at(fd: int, view: memoryview, offset: int, path: Path) -> None:
    """Write all of `view` at `offset`.

    Raises:
        OutOfSpace: The disk is full.
    """
    with translate_errors(path):
        while view.nbytes:
            written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written


def flush(fd: int, path: Path) -> None:
    """Bring what was written to an open file to the disk."""
    with translate_errors(path):
        os.fdatasync(fd)


def append_line(path: Path, line: str) -> None:
    """Append one line in one write; the file is created.

    **Crash:** a torn last line at worst.
    """
    with translate_errors(path):
        fd = _open_or_create(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, f"{line}\n".encode())
        finally:
            os.close(fd)


def publish(part: Path, target: Path) -> None:
    """Give verified bytes their final name, durably.

    **Crash:** before the rename the part is still there and still verified by its next reader; after it the blob is
    whole, for its bytes were on the disk before its name was.
    """
    make_folder(target.parent)
    with translate_errors(target):
        _fsync(part)
        os.replace(part, target)
        fsync_folder(target.parent)


def make_link(path: Path, target: str) -> None:
    """Make a symbolic link in one step, in place of what is there; the caller makes the folder durable."""
    with contextlib.suppress(FileExistsError), translate_errors(path):
        os.symlink(target, path)
        share_as_folder(path)
        return
    with replacing(path, durable=False) as temporary:
        os.symlink(target, temporary)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Let what is made under the temporary name take the place of `path`; nothing where nothing is made."""
    temporary = path.with_name(f".{path.name}.{unique()}{TEMPORARY}")
    try:
        with translate_errors(path):
            yield temporary
            if os.path.lexists(temporary):
                os.replace(temporary, path)
                if durable:
                    fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def try_link(source: Path, target: Path) -> bool:
    """Make a hard link where there is nothing yet; returns whether that worked."""
    try:
        os.link(source, target)
    except OSError as err:
        if err.errno in FULL:
            raise as_shelf_error(err, target) from err
        return False
    return True


def rename_folder(path: Path, target: Path) -> None:
    """Give a folder a name that nothing has yet, durably.

    **Crash:** the old name or the new one.

    Raises:
        FileExistsError: Something has that name.
    """
    if os.path.lexists(target):
        raise FileExistsError(target)
    with translate_errors(path):
        path.rename(target)
        fsync_folder(target.parent)


def take_mode(path: Path, model: Path) -> None:
    """Give a file the mode and times of another."""
    found = model.lstat()
    with translate_errors(path):
        path.chmod(stat.S_IMODE(found.st_mode))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


def set_aside(path: Path, folder: Path) -> Path:
    """Move something into a folder of its own tier under a name that nothing else has; returns the new path."""
    make_folder(folder)
    target = folder / f"{path.name}.{unique()}"
    with translate_errors(path):
        os.replace(path, target)
        fsync_folder(folder)
    return target


@dataclass(frozen=True, slots=True)
class Freed:
    """What a deletion gave back, measured by lstat just before it."""

    apparent_bytes: int = 0
    allocated_bytes: int = 0

    def __add__(self, other: Freed) -> Freed:
        """Return the sum."""
        return Freed(self.apparent_bytes + other.apparent_bytes, self.allocated_bytes + other.allocated_bytes)


def remove_file(path: Path) -> Freed:
    """Delete a file or a link, never what a link points to; nothing when it is gone. Returns what that freed.

    A file with another hard link frees nothing.
    """
    with translate_errors(path):
        try:
            found = path.lstat()
            path.unlink()
        except FileNotFoundError:
            return Freed()
    if found.st_nlink > 1:
        return Freed()
    return Freed(found.st_size, found.st_blocks * 512)


def remove_empty_folder(path: Path) -> Freed:
    """Delete a folder when nothing is in it; leave it otherwise."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        path.rmdir()
        return Freed(found.st_size, found.st_blocks * 512)
    return Freed()


def remove_tree(path: Path) -> Freed:
    """Delete a folder and all below it without following a link; a link is deleted itself."""
    if path.is_symlink() or not path.is_dir():
        return remove_file(path)
    freed = Freed()
    with translate_errors(path), os.scandir(path) as entries:
        children = [Path(entry.path) for entry in entries]
    for child in children:
        freed += remove_tree(child)
    return freed + remove_empty_folder(path)
