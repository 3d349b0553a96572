"""Mutual exclusion between processes, through lock files. Nothing else depends on them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import TypeVar

from filelock import SoftFileLock, Timeout, lock_descriptor, unlock_descriptor

from modelshelf.domain.freed import Freed
from modelshelf.domain.ports import Clock
from modelshelf.errors import ShelfError, Unavailable
from modelshelf.store import fs
from modelshelf.store.folders import Place, place
from modelshelf.store.layout import is_part_lock
from modelshelf.store.mounts import mount_that_may_hang

_POLL_S = 0.1
HANG_S = 30.0
"""How long a network mount may take to answer before it counts as dead, in seconds."""
BLOB_WAIT_S = 3600.0
"""How long to wait for another process that fetches or copies the same blob, and verifies it, in seconds."""
_NETWORK_WAIT_S = 300.0
"""Longest wait for a lock on a network mount, in seconds: its holder may be a machine that is gone."""
_END_IT = "Wait for it, or end it."
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)
"""Answers of a file system that has no locks."""
_held_here: dict[Path, object] = {}
"""Locks that threads of this process hold on such file systems, each with its holder."""
T = TypeVar("T")


def bounded(
    call: Callable[[], T], path: Path, undo: Callable[[T], object] = lambda _: None, hang_s: float = HANG_S
) -> T:
    """Return the result of a call that may hang in the kernel, if `path` is on a network mount or a FUSE file system.

    Args:
        call: The call.
        path: The path that it accesses.
        undo: Undoes the call if it returns too late.
        hang_s: How long to wait for it.

    Raises:
        Unavailable: It didn't answer in time; names the path and its mount.
    """
    mount = mount_that_may_hang(path)
    if mount is None:
        return call()
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as err:  # noqa: BLE001 - raised again by whoever waits
            outcome.set_exception(err)

    threading.Thread(target=work, name="may-hang", daemon=True).start()
    wait([outcome], hang_s)
    in_time = outcome.done()
    if in_time:
        return outcome.result()
    outcome.add_done_callback(lambda late: undo(late.result()) if late.exception() is None else None)
    raise Unavailable(
        f"{path} has not answered for {hang_s:g} s: {mount.named} hangs.",
        hint="Repair the network mount or the drive, then try again.",
        path=str(path),
    )


@contextlib.contextmanager
def try_lock(root: Path, *paths: Path, hang_s: float = HANG_S) -> Iterator[bool]:
    """Take all locks at once without waiting; yield whether that worked. If one is taken, none is held.

    Args:
        root: The base or folder of the locks.
        paths: The locks.
        hang_s: How long a network mount may take to answer.

    Raises:
        Unavailable: It didn't answer.

    **Concurrency:** between processes and between threads (each call opens its own descriptor). The lock ends with
    its process. The files stay, as huggingface_hub's own do, except those beside a part: see `remove_unused`. If the
    file system has no locks, only the threads of this process exclude each other; the capabilities of the
    base say so, and with them `shelf tiers` and `shelf doctor`.
    """
    with contextlib.ExitStack() as stack:
        try:
            for path in paths:
                lock = bounded(partial(_take, root, path), path, contextlib.ExitStack.close, hang_s)
                if is_part_lock(path):  # one for each blob ever fetched would stay
                    stack.callback(remove_unused, root, path)
                stack.push(lock)
        except Timeout:
            stack.close()
            yield False
            return
        yield True


@contextlib.contextmanager
def free_locks(root: Path, paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Take all locks that are free, without waiting; yield those. They are in one folder, which is opened once.

    Args:
        root: The base or folder of the locks.
        paths: The locks; one at least.

    Raises:
        Unavailable: A network mount didn't answer.
    """
    held: list[Path] = []
    with bounded(partial(_take_free, root, paths, held), paths[0], contextlib.ExitStack.close):
        yield held


def _take_free(root: Path, paths: Sequence[Path], held: list[Path]) -> contextlib.ExitStack:
    """Take the locks that are free, and add them to `held`; return what releases them."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(place(root, paths[0], make=True)).folder
        for path in paths:
            with contextlib.suppress(Timeout):
                _hold(stack, Place(folder, path))
                held.append(path)
        return stack.pop_all()


def _take(root: Path, path: Path) -> contextlib.ExitStack:
    """Take a lock; return what releases it. Its folder stays open: `filelock` may open the name again."""
    with contextlib.ExitStack() as stack:
        _hold(stack, stack.enter_context(place(root, path, make=True)))
        return stack.pop_all()


def _hold(stack: contextlib.ExitStack, at: Place) -> None:
    """Take a lock, which the stack releases.

    `filelock` locks the file that is open here, as its `FileLock` locks one by its name, in a tenth of the time. Where
    a file system has no `flock`, the file's existence is the lock, as for `FileLock`.

    Raises:
        Timeout: Somebody holds it, or has just deleted it.
    """
    with contextlib.ExitStack() as held:
        fd, is_new = _open(at)
        held.callback(os.close, fd)
        try:
            is_free = lock_descriptor(fd, blocking=False)
        except OSError as err:
            if err.errno in _NO_LOCKS:
                _hold_here(stack, at.path)
            elif err.errno == errno.ENOSYS:
                _hold_by_existence(stack, at, fd if is_new else None)
            else:
                raise
            return
        if not is_free or os.fstat(fd).st_nlink == 0:  # its holder deleted it before letting go: see `remove_unused`
            raise Timeout(str(at.path))
        held.callback(unlock_descriptor, fd)
        stack.callback(held.pop_all().close)


def _open(at: Place) -> tuple[int, bool]:
    """Open a lock file, for all who may use its folder; return its descriptor, and whether it is new."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return at.open(os.O_RDWR), False
        with contextlib.suppress(FileExistsError):
            fd = at.open(os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            with contextlib.suppress(PermissionError):  # a file system without modes refuses
                os.fchmod(fd, 0o666)
            return fd, True


def _hold_by_existence(stack: contextlib.ExitStack, at: Place, new: int | None) -> None:
    """Take a lock whose file exists as long as somebody holds it.

    Args:
        stack: Releases it.
        at: The lock.
        new: The descriptor of a file that was made to lock it, and says nothing; None: it is somebody's lock.
    """
    with contextlib.suppress(FileNotFoundError):
        if new is not None and os.path.samestat(os.fstat(new), at.status()):
            fs.remove(at)
    lock = SoftFileLock(at.held, timeout=0, thread_local=False, mode=0o666)
    lock.acquire()
    stack.callback(lock.release)


def _hold_here(stack: contextlib.ExitStack, path: Path) -> None:
    """Take a lock that only this process's threads see."""
    if _held_here.setdefault(path, stack) is not stack:
        raise Timeout(str(path))
    stack.callback(_held_here.pop, path)


@contextlib.contextmanager
def wait_lock(
    root: Path, path: Path, clock: Clock, timeout_s: float = 60.0, check: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Take a lock, waiting for its holder.

    Args:
        root: The base or folder of the lock.
        path: The lock.
        clock: Time.
        timeout_s: How long to wait; on a network mount five minutes at most.
        check: Called while waiting; may raise to stop.

    Raises:
        Unavailable: It wasn't free in time.
    """
    waited_s = 0.0
    mount = mount_that_may_hang(path)
    if mount is not None and mount.is_network:
        timeout_s = min(timeout_s, _NETWORK_WAIT_S)
    while True:
        with try_lock(root, path) as free:
            if free:
                yield
                return
        if waited_s >= timeout_s:
            where = f" on {mount.named}" if mount is not None else ""
            raise Unavailable(
                f"Another program has held {path}{where} for {timeout_s:.0f} s.",
                hint="Wait for it, or end it; on a network mount it may run on another machine." if where else _END_IT,
                path=str(path),
            )
        check()
        clock.sleep(_POLL_S)
        waited_s += _POLL_S


def remove_unused(root: Path, path: Path) -> Freed:
    """Delete one of our own lock files, unless somebody holds it; return what that freed.

    **Concurrency:** deleting a lock that another process is about to take would give two owners, so only its
    holder deletes it, while the name still leads to the held file. A process that had it open gets a nameless lock:
    `filelock` checks the link count once it has a lock, and starts again. Other versions may not, which is
    why huggingface_hub's locks are never removed.
    """
    try:
        with place(root, path) as at:
            fd = at.open(os.O_RDWR)
    except (ShelfError, OSError):
        return Freed()
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held, named = os.fstat(fd), path.lstat()
        is_ours = (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)
        return fs.remove_file(root, path) if is_ours else Freed()
    except OSError:
        return Freed()
    finally:
        os.close(fd)
