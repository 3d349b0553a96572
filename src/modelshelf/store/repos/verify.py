"""Reading every byte and comparing it with its digest: on all cores, offline, and past every fault.

Damage is a value; only a request to stop ends the reading early.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.names import Digest, RepoId
from modelshelf.domain.ports import Progress
from modelshelf.domain.verify_report import OTHER_NAMES, Fault, Finding
from modelshelf.store.blobs.partial import RunningDigest
from modelshelf.store.repos import scan
from modelshelf.store.unnoticed import open_unnoticed

READ_BYTES = 2**20
"""Large enough for the disk to stream, small enough to be hashed from the processor's cache."""
_LOOKS = 3
"""How often a file that is written during the read is read again."""
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ELOOP})
_REFUSED = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class Target:
    """One file to be read."""

    base: str
    repo_id: RepoId
    path: str
    """Its name: a blob, or without symbolic links a file of a snapshot."""
    real: str
    """The regular file with the bytes: the same, or a payload of the shared store."""
    digest: Digest
    size_bytes: int | None = None
    """The size in a list of files; None without one."""
    file: str = ""
    model_name: str = ""
    commit_hash: str = ""

    def finding(self, kind: Fault, fact: str = "") -> Finding:
        """Return the finding about it."""
        return Finding(
            kind=kind,
            base=self.base,
            path=self.path,
            repo_id=self.repo_id,
            file=self.file,
            model_name=self.model_name,
            digest=self.digest,
            commit_hash=self.commit_hash,
            fact=fact,
        )


def verify_blobs(
    targets: Iterable[Target],
    *,
    workers: int,
    throttle: Callable[[int], None],
    progress: Progress,
    on_checked: Callable[[Sequence[Target], str], None],
) -> list[Finding]:
    """Return which files don't match their digests.

    Bytes with several names, by links into the shared store or by hard links, are read once.

    Args:
        targets: The files.
        workers: How many to read at the same time.
        throttle: Called with the size of every chunk read; returns when the rate limit allows the next one.
        progress: Told how far the work is.
        on_checked: Called with the names of good bytes and their stamp, by several threads.

    Raises:
        Cancelled: The work was stopped; good bytes were reported to `on_checked`.

    **Concurrency:** hashlib and the kernel let other threads run. A file that is replaced or written while
    it is read is read again; a deleted one is reported as missing, which the caller confirms.
    """
    groups: dict[tuple[int, int, str], _Group] = {}
    findings: list[Finding] = []
    for target in targets:
        try:
            found = os.stat(target.real)  # noqa: PTH116 - a Path for each of a library's files
        except OSError as err:
            findings.append(_unopened(target, err))
            continue
        group = groups.setdefault((found.st_dev, found.st_ino, target.digest), _Group(found.st_size, []))
        group.targets.append(target)
    largest_first = sorted(groups.values(), key=lambda group: (-group.size_bytes, group.targets[0].real))
    progress.phase("verifying", sum(group.size_bytes for group in largest_first))
    return findings + _Reading(largest_first, throttle, progress, on_checked).run(workers)


def all_cores() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class _Group:
    """All names of one file's bytes."""

    size_bytes: int
    targets: list[Target]


class _Reading:
    """The threads of one verification. The first request to stop ends all of them and is raised."""

    def __init__(
        self,
        groups: Iterable[_Group],
        throttle: Callable[[int], None],
        progress: Progress,
        on_checked: Callable[[Sequence[Target], str], None],
    ) -> None:
        self._todo = deque(groups)
        self._throttle = throttle
        self._progress = progress
        self._on_checked = on_checked
        self._mutex = threading.Lock()
        self._findings: list[Finding] = []
        self._error: BaseException | None = None

    def run(self, workers: int) -> list[Finding]:
        """Read everything; return what is wrong, by path."""
        count = max(1, min(workers, len(self._todo)))
        others = [threading.Thread(target=self._work, name=f"verify-{i}", daemon=True) for i in range(1, count)]
        for thread in others:
            thread.start()
        self._work()
        for thread in others:
            thread.join()
        if self._error is not None:
            raise self._error
        return sorted(self._findings, key=lambda finding: finding.path)

    def _work(self) -> None:
        buffer = memoryview(bytearray(READ_BYTES))
        try:
            while self._error is None:
                self._progress.check()
                try:
                    group = self._todo.popleft()
                except IndexError:
                    return
                self._check(group, buffer)
        except BaseException as err:  # noqa: BLE001 - it is raised again where the threads are joined
            self._error = self._error or err

    def _check(self, group: _Group, buffer: memoryview) -> None:
        target = group.targets[0]
        for _ in range(_LOOKS):
            verdict, read = self._read(target, buffer)
            if verdict is not None or self._error is not None:
                break
            self._progress.advance(-read)
        else:
            read = 0
        if self._error is not None:
            return
        if read != group.size_bytes:
            self._progress.advance(group.size_bytes - read)
        if isinstance(verdict, str):
            self._on_checked(group.targets, verdict)
        elif verdict is not None:
            with self._mutex:
                self._findings += [other.finding(verdict.kind, verdict.fact) for other in group.targets]

    def _read(self, target: Target, buffer: memoryview) -> tuple[Finding | str | None, int]:
        """Return the stamp of good bytes or what is wrong with them, None if they changed; and how many were read."""
        try:
            fd = open_unnoticed(target.real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as err:
            return _unopened(target, err), 0
        with os.fdopen(fd, "rb", buffering=0) as file:
            before = os.fstat(fd)
            if target.size_bytes is not None and before.st_size != target.size_bytes:
                return target.finding(Fault.WRONG_SIZE, f"{before.st_size} bytes instead of {target.size_bytes}"), 0
            _read_ahead(fd)
            running, read = RunningDigest(target.digest, before.st_size), 0
            try:
                while self._error is None and (got := file.readinto(buffer)):
                    running.update(buffer[:got])
                    read += got
                    self._progress.advance(got)
                    self._progress.check()
                    self._throttle(got)
            except OSError as err:
                return target.finding(Fault.READ_ERROR, os.strerror(err.errno or 0)), read
            stamp = scan.stamp_of(before)
            if scan.stamp_of(os.fstat(fd)) != stamp:
                return None, read
            return (stamp if running.agrees() else target.finding(Fault.WRONG_BYTES)), read


def _unopened(target: Target, err: OSError) -> Finding:
    if err.errno in _GONE:
        return target.finding(Fault.MISSING_FILE)
    if err.errno in _REFUSED:
        return target.finding(Fault.UNREADABLE_FILE, _why_left(target))
    return target.finding(Fault.READ_ERROR, os.strerror(err.errno or 0))


def _why_left(target: Target) -> str:
    """Return why only its owner can make a file readable for this user; empty if the base's owner can."""
    try:
        found, base = Path(target.real).stat(), Path(target.base).stat()
    except OSError:  # it is in a closed folder
        return ""
    if found.st_nlink > 1:
        return OTHER_NAMES
    return "" if found.st_uid in (0, os.geteuid(), base.st_uid) else f": it belongs to user {found.st_uid}"


def _read_ahead(fd: int) -> None:
    with contextlib.suppress(AttributeError, OSError):  # macOS doesn't have it, nor do some file systems
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
