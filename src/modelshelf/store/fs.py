"""The only module that changes a disk, with `folders` as its hands. Every durable step says what a crash leaves behind.

Each change names the root that it can't leave; see `folders`.

The durable write: temporary file in the same folder → write → fsync the file → rename → fsync the folder. A crash
leaves the old content or the new one, and at worst a temporary file.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.store.folders import Place, opened, place, sync_folder
from modelshelf.store.os_errors import FULL, as_shelf_error, translate_errors
from modelshelf.store.probe import is_real_folder

TEMPORARY = ".shelf-tmp"
"""Suffix of our temporary files, which are garbage unless their writer has them open."""


def unique() -> str:
    """Return 8 hex digits that no other name has; `secrets` does the same and takes 5 ms to import."""
    return os.urandom(4).hex()


def make_folder(root: Path, path: Path) -> None:
    """Create a folder and its missing parents below the root, each with its parent's permissions; see `folders`."""
    with translate_errors(path), opened(root, path, make=True):
        pass


def fsync_folder(root: Path, path: Path) -> None:
    """Make names in a folder durable, if the file system can: some network mounts and FUSE file systems refuse."""
    with translate_errors(path), opened(root, path) as folder:
        sync_folder(folder)


def take_folder_permissions(root: Path, path: Path) -> None:
    """Give a file or folder its folder's group permissions; does nothing if it is gone."""
    with contextlib.suppress(FileNotFoundError), place(root, path) as at:
        at.take_folder_permissions()


def write_text(root: Path, path: Path, text: str, mode: int = 0o644, *, durable: bool = True) -> None:
    """Write a small file, all or nothing, and by default durably; its folder is created.

    **Crash:** the old file or the new one; at worst a `.shelf-tmp` beside it. After a power cut, what isn't durable may
    be empty, or zeros.
    """
    with replacing(root, path, make=True, durable=durable) as temporary:
        _write(temporary, text, mode, durable=durable)


def write_texts(root: Path, texts: Mapping[Path, str], each: Callable[..., Iterable[object]] = map) -> None:
    """Write small files durably, each all or nothing; their folders are created, and stay open until all are written.

    With the `map` of a pool for `each`, the disk makes several durable at a time.

    **Crash:** of each the old file or the new one; at worst a `.shelf-tmp` beside it.
    """
    with contextlib.ExitStack() as stack:
        folders = {path.parent: path for path in texts}
        opened_at = {folder: stack.enter_context(place(root, path, make=True)) for folder, path in folders.items()}
        targets = [opened_at[path.parent].beside(path.name) for path in texts]
        temporaries = [_temporary(target) for target in targets]
        for temporary, text in zip(temporaries, texts.values(), strict=True):
            stack.callback(remove, temporary)
            _write(temporary, text, durable=False)
        list(each(_sync, temporaries))
        for temporary, target in zip(temporaries, targets, strict=True):
            _replace(temporary, target)
        list(each(sync_folder, [at.folder for at in opened_at.values()]))


def back_up(root: Path, path: Path) -> Path:
    """Keep a file's content beside it, as `NAME.bak` or under the next free name; return that path."""
    names = itertools.chain([f"{path.name}.bak"], (f"{path.name}.bak{number}" for number in itertools.count(2)))
    with place(root, path) as at:
        target = next(found for name in names if not (found := at.beside(name)).is_there())
        if not try_link(at, target):
            _copy(at, target)
        at.sync_folder()
    return target.path


def _copy(at: Place, target: Place) -> None:
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(at.open(os.O_RDONLY), "rb") as source, os.fdopen(target.open(new, 0o600), "wb") as file:
        shutil.copyfileobj(source, file)
    with contextlib.suppress(OSError):  # some file systems without hard links have no modes either
        target.take(at.status())


@contextlib.contextmanager
def scratch_file(root: Path, folder: Path) -> Iterator[int]:
    """Open an empty file for a moment, without a name if the file system allows that; it is gone afterwards."""
    with place(root, folder / f".probe.{unique()}{TEMPORARY}") as at:
        fd = at.open(os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with contextlib.suppress(OSError):
                remove(at)
            yield fd
        finally:
            os.close(fd)
            remove(at)


def create_text(root: Path, path: Path, text: str, mode: int = 0o644) -> None:
    """Write a small file durably unless it exists; of several that try at once, one succeeds.

    Without hard links, the last one wins.

    Raises:
        FileExistsError: It exists.
    """
    with replacing(root, path, make=True) as temporary:
        _write(temporary, text, mode)
        try:
            link(temporary, temporary.beside(path.name))
        except FileExistsError:
            raise
        except OSError:
            return
        remove(temporary)
        temporary.sync_folder()


def _write(at: Place, text: str, mode: int = 0o644, *, durable: bool = True) -> None:
    with os.fdopen(at.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(text.encode())
        file.flush()
        if mode & 0o007:  # a secret stays readable for whom it was
            at.take_folder_permissions()
        if durable:
            os.fsync(file.fileno())


def touch(root: Path, path: Path) -> None:
    """Create an empty file unless it exists, for all who may use its folder."""
    with place(root, path) as at:
        os.close(_open_or_create(at, os.O_RDONLY))


def open_part(root: Path, path: Path) -> int:
    """Open a part for reading and writing at offsets, creating it; return the descriptor, which the caller closes."""
    with place(root, path, make=True) as at:
        return _open_or_create(at, os.O_RDWR)


def _open_or_create(at: Place, flags: int) -> int:
    try:
        return at.open(flags)
    except FileNotFoundError:
        fd = at.open(flags | os.O_CREAT)
    at.take_folder_permissions()
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
    """Sync what was written to an open file."""
    with translate_errors(path):
        os.fdatasync(fd)


def publish(root: Path, part: Path, target: Path) -> None:
    """Give verified bytes their final name, durably.

    **Crash:** before the rename the part is still there, and its next reader verifies it; after it the blob is
    whole, because its bytes were synced before its name existed.
    """
    with place(root, part) as old, place(root, target, make=True) as new:
        _sync(old)
        _replace(old, new)
        new.sync_folder()


def create_link(root: Path, path: Path, target: str) -> None:
    """Make a symbolic link under a free name; the caller makes the folder durable.

    Raises:
        FileExistsError: The name exists.
    """
    if not create_links(root, path.parent, {path.name: target}):
        raise FileExistsError(path)


def create_links(root: Path, folder: Path, targets: Mapping[str, str]) -> int:
    """Make links in one folder, each under its name if that is free; return how many. The caller makes them durable."""
    made = 0
    with translate_errors(folder), opened(root, folder, make=True) as held:
        is_theirs = os.geteuid() == 0 != os.fstat(held).st_uid  # any other user's link is that user's, and has no mode
        for name, target in targets.items():
            with contextlib.suppress(FileExistsError):
                os.symlink(target, name, dir_fd=held)
                made += 1
                if is_theirs:
                    Place(held, folder / name).take_folder_permissions()
    return made


def make_link(root: Path, path: Path, target: str) -> None:
    """Make a symbolic link in one step, replacing what is there; the caller makes the folder durable."""
    with contextlib.suppress(FileExistsError):
        create_link(root, path, target)
        return
    with replacing(root, path, durable=False) as temporary:
        os.symlink(target, temporary.name, dir_fd=temporary.folder)


def put_link(root: Path, path: Path, target: str, is_as_it_was: Callable[[Path], bool]) -> bool:
    """Let a symbolic link take the place of a file, unless that changes meanwhile; return whether it did.

    The file keeps a second name until it was looked at for the last time.

    **Crash:** the file or the link; at worst the file under a `.shelf-tmp` beside it.

    Args:
        root: The root of the change.
        path: The file.
        target: Where the link leads.
        is_as_it_was: Tells, by the file's second name, whether it is what the caller read.
    """
    with place(root, path) as at:
        kept = _temporary(at)
        link(at, kept)
        is_same = False
        try:
            make_link(root, path, target)
            is_same = is_as_it_was(kept.held)
        finally:
            if not is_same:
                _replace(kept, at)
            remove(kept)
        at.sync_folder()
    return is_same


def put_file(root: Path, path: Path, source: Path) -> None:
    """Let a file take the place of a link: a second name of the source, else a copy.

    **Crash:** the link or the file; at worst a `.shelf-tmp` beside it.
    """
    with replacing(root, path) as temporary, translate_errors(path):
        if not try_link(source, temporary):
            new = temporary.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with source.open("rb") as old, os.fdopen(new, "wb") as file:
                shutil.copyfileobj(old, file)
                file.flush()
                os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(root: Path, path: Path, *, make: bool = False, durable: bool = True) -> Iterator[Place]:
    """Rename what the context makes under the temporary name to `path`; does nothing if it makes nothing."""
    with place(root, path, make=make) as at:
        temporary = _temporary(at)
        try:
            yield temporary
            if temporary.is_there():
                _replace(temporary, at)
                if durable:
                    at.sync_folder()
        finally:
            remove(temporary)


def try_link(source: Path | Place, target: Place) -> bool:
    """Make a hard link unless the name exists; return whether that worked."""
    try:
        link(source, target)
    except OSError as err:
        if err.errno in FULL:
            raise as_shelf_error(err, target.path) from err
        return False
    return True


def link(source: Path | Place, target: Place) -> None:
    """Make a hard link, to a link itself if the source is one."""
    old, folder = (source.name, source.folder) if isinstance(source, Place) else (os.fspath(source), None)
    os.link(old, target.name, src_dir_fd=folder, dst_dir_fd=target.folder, follow_symlinks=False)


def _temporary(at: Place) -> Place:
    return at.beside(f".{at.name}.{unique()}{TEMPORARY}")


def _sync(at: Place) -> None:
    with os.fdopen(at.open(os.O_RDONLY), "rb") as file:
        os.fsync(file.fileno())


def _replace(old: Place, new: Place) -> None:
    os.replace(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder)


def rename_folder(root: Path, path: Path, target: Path) -> None:
    """Rename a folder to a free name, durably.

    **Crash:** the old name or the new one.

    Raises:
        FileExistsError: The name exists.
    """
    with place(root, path) as old, place(root, target) as new:
        if new.is_there():
            raise FileExistsError(target)
        _replace(old, new)
        new.sync_folder()


def take_mode(root: Path, path: Path, model: Path) -> None:
    """Give a file the mode and times of another."""
    with place(root, path) as at:
        at.take(model.lstat())


def set_aside(root: Path, path: Path, folder: Path) -> Path:
    """Move something into a folder of its own tier under a free name; return the new path."""
    target = folder / f"{path.name}.{unique()}"
    with place(root, path) as old, place(root, target, make=True) as new:
        _replace(old, new)
        new.sync_folder()
    return target


def remove(at: Place) -> None:
    """Delete a file or a link; does nothing if it is gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(at.name, dir_fd=at.folder)


def remove_file(root: Path, path: Path) -> Freed:
    """Delete a file or a link, never a link's target; does nothing if it is gone. Returns what that freed.

    A file with another hard link frees nothing.
    """
    return remove_files(root, [path])


def remove_files(root: Path, paths: Iterable[Path]) -> Freed:
    """Delete files or links one after the other, as `remove_file` does; those of one folder in a row open it once."""
    freed = Freed()
    for folder, inside in groupby(paths, key=attrgetter("parent")):
        with contextlib.suppress(FileNotFoundError), translate_errors(folder), opened(root, folder) as held:
            freed = sum((_remove_at(Place(held, path)) for path in inside), start=freed)
    return freed


def _remove_at(at: Place) -> Freed:
    try:
        with translate_errors(at.path):
            found = at.status()
            os.unlink(at.name, dir_fd=at.folder)
    except FileNotFoundError:
        return Freed()
    return Freed() if found.st_nlink > 1 else Freed(found.st_size, found.st_blocks * 512)


def remove_empty_folder(root: Path, path: Path) -> Freed:
    """Delete a folder if it is empty."""
    with contextlib.suppress(FileNotFoundError), place(root, path) as at, contextlib.suppress(OSError):
        found = at.status()
        os.rmdir(at.name, dir_fd=at.folder)
        return Freed(found.st_size, found.st_blocks * 512)
    return Freed()


def remove_tree(root: Path, path: Path) -> Freed:
    """Delete a folder and everything below it without following links; a link is deleted itself."""
    if not is_real_folder(path):
        return remove_file(root, path)
    freed = Freed()
    with translate_errors(path), os.scandir(path) as entries:
        children = [Path(entry.path) for entry in entries]
    for child in children:
        freed += remove_tree(root, child)
    return freed + remove_empty_folder(root, path)
