"""Letting identical blobs of one base share their bytes: by reflink, else by hard link, and only after reading both.

Two blobs are merged if their names are the same full digest and the bytes of both match it. If one is damaged both stay
as they are, for `verify` to handle.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.domain.gc import DedupePlan, Group
from modelshelf.domain.names import Digest, is_digest
from modelshelf.domain.ports import Progress
from modelshelf.domain.repo_folders import parse_repo_folder
from modelshelf.errors import Denied
from modelshelf.store.blobs import extents, link_or_clone
from modelshelf.store.blobs.partial import RunningDigest
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.locks import try_lock
from modelshelf.store.probe import is_link
from modelshelf.store.repos import scan
from modelshelf.store.tiers import capabilities
from modelshelf.store.unnoticed import open_unnoticed

_READ_BYTES = 2**20
_LOCKS_AT_ONCE = 200
"""Each lock is an open file, and a process has about 1,000."""

Seal = tuple[int, int, int, int, int]
"""Says whether a file was touched: device, inode, size, mtime and ctime."""


@dataclass(slots=True)
class Deduped:
    """The result of an execution."""

    merged: list[tuple[str, str]] = field(default_factory=list)
    """Each blob that shares its bytes now, and how: `reflink` or `link`."""
    freed: Freed = field(default_factory=Freed)
    """Bytes that hard links freed, measured."""
    shared_bytes: int = 0
    """Bytes that reflinks share; `du` still counts them twice."""
    verified: dict[Digest, str] = field(default_factory=dict)
    """Digest to the stamp of the blob that the others share; see `store.repos.scan.stamp`."""
    left: list[str] = field(default_factory=list)
    """What wasn't merged and why, in sentences."""


def plan_dedupe(base: Base) -> DedupePlan:
    """Return which blobs of a base could share their bytes, by name and size alone; nothing is read.

    Blobs that are links into the shared store already share their bytes.
    """
    found: dict[tuple[Digest, int, int], list[tuple[str, os.stat_result]]] = {}
    if not is_link(base.hub):
        for _, _, repo in scan.repos(base):
            if os.access(repo.blobs, os.F_OK) and not is_link(repo.blobs):
                for path, status in _blobs(repo.blobs):
                    key = (Digest(path.rpartition("/")[2]), status.st_size, status.st_dev)
                    found.setdefault(key, []).append((path, status))
    several = {key: blobs for key, blobs in found.items() if len({status.st_ino for _, status in blobs}) > 1}
    method = _method(base) if several else ""
    groups = [_group(digest, size_bytes, blobs, method) for (digest, size_bytes, _), blobs in sorted(several.items())]
    return DedupePlan(str(base.path), method, tuple(group for group in groups if group.others and method))


def _method(base: Base) -> str:
    can = capabilities.of(base)
    return "reflink" if can.reflinks else "link" if can.hardlinks else ""


def _blobs(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Return a folder's blobs that hold their own bytes."""
    blobs = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_digest(entry.name):
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_size:
                    blobs.append((entry.path, found))
    return blobs


def _group(digest: Digest, size_bytes: int, blobs: Sequence[tuple[str, os.stat_result]], method: str) -> Group:
    """Return a group that keeps the file with the most names, so that the fewest are replaced."""
    names = Counter(found.st_ino for _, found in blobs)
    keep, kept = min(blobs, key=lambda blob: (-names[blob[1].st_ino], blob[1].st_mtime_ns, blob[0]))
    others = [path for path, found in sorted(blobs) if found.st_ino != kept.st_ino]
    if method == "reflink":
        others = [path for path in others if not extents.same(Path(keep), Path(path))]
    return Group(digest, size_bytes, keep, tuple(others))


def execute(base: Base, plan: DedupePlan, checked: Mapping[Digest, str], progress: Progress) -> Deduped:
    """Merge the blobs of a plan, after reading those that were never verified; return the result.

    Args:
        base: The base of the plan.
        plan: What to merge.
        checked: Digest to stamp of the blobs verified in this base; see `registry.verified_blobs`.
        progress: Told how far the work is.

    Raises:
        Cancelled: The work was stopped; what is merged stays merged.
        OutOfSpace: The disk is too full for even a name.

    **Crash:** each blob is the old file or the new one, whose bytes are the same.
    """
    work = _Work(base, plan, checked, progress)
    progress.phase("deduplicating", plan.read_bytes)
    for group in plan.groups:
        work.group(group)
    return work.done


@dataclass(slots=True)
class _Work:
    """One execution of a plan."""

    base: Base
    plan: DedupePlan
    checked: Mapping[Digest, str]
    progress: Progress
    done: Deduped = field(default_factory=Deduped)

    def group(self, group: Group) -> None:
        """Merge the blobs of one digest.

        **Concurrency:** the bytes are read before the locks are taken, which can take long; what was touched since
        is skipped. huggingface_hub replaces blobs under their locks; a program that writes in place has the file open.
        """
        stamps = Counter(scan.stamp(Path(path)) for path in {group.keep, *group.others})
        seals = {path: self._verify(group, path, stamps) for path in (group.keep, *group.others)}
        source = seals[group.keep]
        if source is None:
            return
        others = [path for path in group.others if seals[path] is not None]
        for start in range(0, len(others), _LOCKS_AT_ONCE):
            with contextlib.ExitStack() as held:
                if not held.enter_context(self._lock(group.keep)):
                    self.done.left.append(f"{group.keep} is being written.")
                    return
                batch = [path for path in others[start : start + _LOCKS_AT_ONCE] if self._take(held, path)]
                written = open_files.written()
                for path in batch:
                    source = self._merge(group, path, (source, seals[path]), written)

    def _take(self, held: contextlib.ExitStack, path: str) -> bool:
        free = held.enter_context(self._lock(path))
        if not free:
            self.done.left.append(f"{path} is being written.")
        return free

    def _lock(self, path: str) -> contextlib.AbstractContextManager[bool]:
        blob = Path(path)
        parsed = parse_repo_folder(blob.parent.parent.name)
        assert parsed is not None, path
        repo_type, repo_id = parsed
        return try_lock(self.base.path, self.base.hub_lock(repo_id, Digest(blob.name), repo_type))

    def _verify(self, group: Group, path: str, stamps: Mapping[str, int]) -> Seal | None:
        """Return the seal of a blob whose bytes match its name; None if they don't, or can't be read.

        A stamp that two of them have (as copies with kept times do) proves neither.
        """
        stamp = scan.stamp(Path(path))
        if stamp and self.checked.get(group.digest) == stamp and stamps[stamp] == 1:
            self.progress.advance(group.size_bytes)
            return _seal(path)
        try:
            before = _seal(path)
            agrees = self._agrees(path, group.digest)
        except OSError as err:
            self.done.left.append(f"{path} cannot be read ({err.strerror}).")
            return None
        if not agrees:
            self.done.left.append(f"{path} is damaged: shelf verify --all")
            return None
        return before

    def _agrees(self, path: str, digest: Digest) -> bool:
        fd = open_unnoticed(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(fd, "rb", buffering=0) as file:
            running = RunningDigest(digest, os.fstat(fd).st_size)
            view = memoryview(bytearray(_READ_BYTES))
            while count := file.readinto(view):
                running.update(view[:count])
                self.progress.advance(count)
                self.progress.check()
        return running.agrees()

    def _merge(
        self, group: Group, path: str, seals: tuple[Seal | None, Seal | None], written: set[tuple[int, int]]
    ) -> Seal | None:
        """Merge one blob with the one that stays, both locked; return the latter's seal."""
        self.progress.check()
        if (_seal(group.keep), _seal(path)) != seals or {seal[:2] for seal in seals if seal} & written:
            self.done.left.append(f"{path} is being written.")
            return seals[0]
        if is_link(Path(path).parent) or is_link(Path(group.keep).parent):
            self.done.left.append(f"{path} is behind a link now.")
            return seals[0]
        source, target = Path(group.keep), Path(path)
        try:
            how = self._share(source, target, group.size_bytes)
        except Denied as err:
            self.done.left.append(err.detail)
            return _seal(group.keep)
        if how:
            self.done.merged.append((path, how))
            self.done.verified[group.digest] = scan.stamp(source)
        else:
            self.done.left.append(f"{path} cannot share its bytes here.")
        return _seal(group.keep)

    def _share(self, source: Path, target: Path, size_bytes: int) -> str:
        if self.plan.method == "reflink" and link_or_clone.merge_by_reflink(self.base.path, source, target):
            self.done.shared_bytes += size_bytes
            return "reflink"
        freed = link_or_clone.merge_by_link(self.base.path, source, target)
        if freed is None:
            return ""
        self.done.freed += freed
        return "link"


def _seal(path: str) -> Seal | None:
    """Return a file's seal; None if it is gone."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
