"""The way to a name below a root: folder by folder, each held open, no link followed.

`fs` changes a name relative to the folder that was opened here, so the check is the change: if somebody swaps a folder
for a link meanwhile, the change is refused or goes to the checked folder. The root itself may be reached through links.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.permissions import mode_in
from modelshelf.errors import Denied
from modelshelf.store.os_errors import translate_errors

_ROOT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER = _ROOT | os.O_NOFOLLOW
_MAKING: dict[Path, threading.Lock] = {}
"""By root, so that a disk that hangs doesn't block threads on another one."""


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a folder that is held open."""

    folder: int
    """The folder's descriptor."""
    path: Path
    """The path, for people."""

    @property
    def name(self) -> str:
        """The name in the folder."""
        return self.path.name

    @property
    def held(self) -> Path:
        """A path through the open folder, for functions that take no descriptor."""
        return Path(f"/proc/self/fd/{self.folder}/{self.name}")

    def beside(self, name: str) -> Place:
        """Return another name in the same folder."""
        return Place(self.folder, self.path.with_name(name))

    def status(self) -> os.stat_result:
        """Return the status of what is there, of a link itself."""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def is_there(self) -> bool:
        """Return whether something is there, a dangling link too."""
        with contextlib.suppress(FileNotFoundError):
            self.status()
            return True
        return False

    def open(self, flags: int, mode: int = 0o644) -> int:
        """Open the file; return a descriptor, which the caller closes.

        Raises:
            Denied: It is a link.
        """
        try:
            return os.open(self.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=self.folder)
        except OSError:
            self.check_no_link()
            raise

    def check_no_link(self) -> None:
        """Raise if a link is there.

        Raises:
            Denied: A link is there.
        """
        with contextlib.suppress(OSError):
            target = os.readlink(self.name, dir_fd=self.folder)
            raise Denied(
                f"{self.path} is a link to {target}: nothing is changed through a link.",
                hint=f"Put what it leads to in its place, or remove the link: rm {self.path}",
                path=str(self.path),
            )

    def chmod(self, mode: int) -> None:
        """Set the mode; a link has none."""
        with self._pinned() as (proc, _):
            proc.chmod(mode)

    def take(self, model: os.stat_result) -> None:
        """Set mode and times to those of another file."""
        with self._pinned() as (proc, _):
            os.utime(proc, ns=(model.st_atime_ns, model.st_mtime_ns))
            proc.chmod(stat.S_IMODE(model.st_mode))  # a file system without modes refuses

    def take_folder_permissions(self) -> None:
        """Give the file or folder its folder's group permissions, regardless of umask.

        What root writes gets the folder's owner, so that the user outside a container can read and delete it. A
        file that has another hard link, or an owner who is neither the folder's nor this user, isn't changed.
        """
        with contextlib.suppress(OSError), self._pinned() as (proc, found):
            folder = os.fstat(self.folder)
            if not stat.S_ISDIR(found.st_mode) and found.st_nlink > 1:
                return
            if found.st_uid not in (os.geteuid(), folder.st_uid):
                return
            if found.st_uid == 0 and folder.st_uid != 0:
                os.chown(proc, folder.st_uid, folder.st_gid)
            mode = mode_in(found.st_mode, folder.st_mode)
            if not stat.S_ISLNK(found.st_mode) and mode != stat.S_IMODE(found.st_mode):
                proc.chmod(mode)

    @contextlib.contextmanager
    def _pinned(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield a path to what is there at this moment, a link itself, and its status."""
        fd = os.open(self.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder)
        try:
            yield Path(f"/proc/self/fd/{fd}"), os.fstat(fd)
        finally:
            os.close(fd)

    def sync_folder(self) -> None:
        """Make the names in the folder durable, if the file system can."""
        sync_folder(self.folder)


@contextlib.contextmanager
def place(root: Path, path: Path, *, make: bool = False) -> Iterator[Place]:
    """Open the folder of a name.

    Args:
        root: The folder below which, and nowhere else, something may be changed.
        path: The name.
        make: Create missing folders.

    Raises:
        Denied: A folder on the way is a link, or the name isn't below the root.
        FileNotFoundError: A folder is missing.
    """
    with translate_errors(path), opened(root, path.parent, make=make) as folder:
        yield Place(folder, path)


@contextlib.contextmanager
def opened(root: Path, path: Path, *, make: bool = False) -> Iterator[int]:
    """Open a folder, the root or one below it; yield a descriptor that only names it. Raises as `place` does."""
    inner = path.parts[len(root.parts) :]
    if ".." in inner or path.parts[: len(root.parts)] != root.parts:
        raise Denied(f"{path} isn't below {root}: it isn't changed.", path=str(path))
    # A folder that another thread has just made has no permissions yet to inherit: one thread makes some at a time.
    with _MAKING.setdefault(root, threading.Lock()) if make else contextlib.nullcontext():
        folder = _walk(root, inner, make=make)
    try:
        yield folder
    finally:
        os.close(folder)


def _walk(root: Path, inner: Sequence[str], *, make: bool) -> int:
    folder = _open_root(root, make=make)
    for depth, name in enumerate(inner, 1):
        above = folder
        try:
            folder = os.open(name, _FOLDER, dir_fd=above)
        except OSError:
            folder = _enter(Place(above, root.joinpath(*inner[:depth])), make=make)
        finally:
            os.close(above)
    return folder


def _open_root(root: Path, *, make: bool) -> int:
    try:
        return os.open(root, _ROOT)
    except FileNotFoundError:
        if not make:
            raise
    root.parent.mkdir(parents=True, exist_ok=True)
    above = os.open(root.parent, _ROOT)
    try:
        return _enter(Place(above, root), make=True)
    finally:
        os.close(above)


def _enter(at: Place, *, make: bool) -> int:
    """Open one folder; a missing one that this very call creates gets its folder's permissions."""
    try:
        return os.open(at.name, _FOLDER, dir_fd=at.folder)
    except FileNotFoundError:
        if not make:
            raise
    except OSError:
        at.check_no_link()
        raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(at.name, dir_fd=at.folder)
        at.take_folder_permissions()
    return _enter(at, make=False)


def sync_folder(folder: int) -> None:
    """Make the names in an open folder durable, if the file system can: some network mounts refuse."""
    try:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
