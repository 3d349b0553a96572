"""What the doctor says about a base: its disk, its limit, and what is wrong with its names. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath

from modelshelf.domain.disks import Capabilities, Mount
from modelshelf.domain.doctor_report import DOCTOR_FIX, Diagnosis, Severity
from modelshelf.domain.permissions import Foreign
from modelshelf.domain.tiers import CUSTOM, SCARCE_ENTRIES, Tier
from modelshelf.domain.verify_report import Fault, Finding
from modelshelf.units import GB, format_size, limit_gb, many

_LOW_BYTES = GB
"""A disk with less than this free stops most work; a small one with less than a tenth of itself."""
FIX_TREES = "trees"
FIX_STRAYS = "strays"
_ERROR, _WARNING, _INFO, _OK = Severity
_WORST = frozenset({Fault.MISSING_FILE, Fault.WRONG_SIZE, Fault.WRONG_BYTES, Fault.READ_ERROR})


@dataclass(frozen=True, slots=True)
class Sized:
    """A path on a disk with its bytes."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """The facts of one base."""

    tier: Tier
    mount: Mount
    exists: bool
    offline: str
    """Why it can't be used, though it was used before; empty if it can."""
    hangs: bool = False
    """Whether its network mount doesn't answer."""
    closed: str = ""
    """A folder in it that this user can't read; empty without one."""
    marked: bool = False
    writable: bool = True
    capabilities: Capabilities | None = None
    free_bytes: int = 0
    free_entries: int | None = None
    disk_bytes: int = 0
    usage_bytes: int = 0
    strays: tuple[Sized, ...] = ()
    """Repositories beside `hub` instead of in it, or in a `hub` in `hub`."""
    busy: str = ""
    """Why a stray isn't taken in now, in a sentence; empty if all may be."""
    unfinished: tuple[Sized, ...] = ()
    """Models' folders among the strays without a snapshot: leftovers of downloads."""
    spare: tuple[Sized, ...] = ()
    """Caches that aren't needed: hf_xet's, and that of transformers before 4.22."""
    foreign: Foreign | None = None
    """What its owner, or its group if it is a group's, can't use in full."""
    mend: str = ""
    """The command that lets this user use all of it, or use it at all."""
    closed_trees: tuple[str, ...] = ()
    """Lists of files that others can't read, and that are ours to open."""
    faults: tuple[Finding, ...] = ()
    """What is wrong with names, links and refs."""


def of_base(base: BaseFacts) -> Iterator[Diagnosis]:
    """Yield the findings about one base."""
    path = base.tier.base
    named = f"{base.tier.location} {path}"
    if base.closed:
        detail = f"{named}: this user can't read {base.closed}."
        yield Diagnosis(_ERROR, "base", detail, base.mend, base.closed)
        return
    if base.offline:
        point = shlex.quote(base.mount.point)
        command = f"sudo umount --lazy {point} && sudo mount {point}" if base.hangs else base.mend
        yield Diagnosis(_ERROR, "base", f"{named}: {base.offline}", command, path)
        return
    yield from _place(base, named)
    if not base.exists and not base.writable:
        detail = f"{named} doesn't exist, and can't be created: nothing can be written there."
        yield Diagnosis(_WARNING, "base", detail, _writable_command(base), path)
        return
    if not base.exists:
        yield Diagnosis(_INFO, "base", f"{named} doesn't exist yet: the first model creates it.", path=path)
        return
    if not base.marked:
        detail = f"{named} has no marker: shelf never used it. Is it the right folder, and mounted?"
        yield Diagnosis(_INFO, "base", detail, path=path)
    if not base.writable:
        detail = f"{named} is read-only: its models can be loaded, but nothing can be written."
        yield Diagnosis(_WARNING, "base", detail, _writable_command(base), path)
    yield from _room(base, named)
    yield from _contents(base)
    kind = base.mount.kind or "an unknown file system"
    left = f"{format_size(base.free_bytes)} of {format_size(base.disk_bytes)} free"
    limit = "no limit" if base.tier.limit_bytes is None else f"limit {format_size(base.tier.limit_bytes)}"
    detail = f"{named}: {kind} mounted at {base.mount.point}, {left}, holds {format_size(base.usage_bytes)}, {limit}."
    yield Diagnosis(_OK, "base", detail, path=path, size_bytes=base.usage_bytes)


def _writable_command(base: BaseFacts) -> str:
    if base.mount.read_only:
        return f"sudo mount -o remount,rw {shlex.quote(base.mount.point)}"
    return base.mend


def _place(base: BaseFacts, named: str) -> Iterator[Diagnosis]:
    path = base.tier.base
    if base.mount.is_container_layer:
        detail = f"{named} is in the container's own layer: its models are lost with the container."
        command = f"docker run -v /a/folder/of/the/host:{shlex.quote(path)} …"
        yield Diagnosis(_ERROR, "base", detail, command, path)
    weaknesses = base.capabilities.weaknesses if base.capabilities else ()
    if weaknesses:
        yield Diagnosis(_INFO, "base", f"{named} has {'; '.join(weaknesses)}.", path=path)


def _room(base: BaseFacts, named: str) -> Iterator[Diagnosis]:
    limit, path = base.tier.limit_bytes, base.tier.base
    variable = f"{base.tier.location.upper()}_CACHE_LIMIT_GB"
    if limit is not None and base.usage_bytes > limit:
        over = base.usage_bytes - limit
        detail = f"{named} holds {format_size(over)} more than its limit of {format_size(limit)}."
        yield Diagnosis(_WARNING, "base", detail, "shelf gc --dry-run", path, over)
    if limit is not None and limit > base.disk_bytes > 0:
        has = format_size(base.disk_bytes)
        detail = f"{named}: its limit of {format_size(limit)} is more than its disk holds, {has}."
        yield Diagnosis(_WARNING, "base", detail, f"{variable}={limit_gb(base.disk_bytes * 9 // 10)}", path)
    elif limit is not None and limit - base.usage_bytes > base.free_bytes:
        left, has = format_size(limit - base.usage_bytes), format_size(base.free_bytes)
        detail = f"{named}: its limit leaves room for {left}, but its disk has only {has}."
        yield Diagnosis(_INFO, "base", detail, path=path)
    if base.free_bytes < (min(_LOW_BYTES, base.disk_bytes // 10) or _LOW_BYTES):
        detail = f"{named}: its disk is almost full: {format_size(base.free_bytes)} left."
        yield Diagnosis(_WARNING, "base", detail, "shelf clean", path)
    if base.free_entries is not None and base.free_entries < SCARCE_ENTRIES:
        detail = f"{named}: its disk has room for only {many(base.free_entries, 'more file')} (inodes)."
        yield Diagnosis(_WARNING, "base", detail, "shelf clean", path)


def _strays(base: BaseFacts) -> Diagnosis:
    """Return the finding on models outside `hub`; the repair takes those right beside the `hub` of a settings' base."""
    path, first = PurePath(base.tier.base), base.strays[0].path
    detail = (
        f"{_count(base.strays, 'model folder')} in {path} outside hub/, where only code with cache_dir={path} looks"
        f" (first: {first})."
    )
    is_repaired = base.tier.location != CUSTOM and all(PurePath(stray.path).parent == path for stray in base.strays)
    command = DOCTOR_FIX if is_repaired else f"shelf adopt {shlex.quote(str(path))} --move"
    size_bytes = sum(stray.size_bytes for stray in base.strays)
    if is_repaired and base.busy:
        detail = f"{detail} {base.busy} shelf doctor --fix takes in what is there a minute after the last write."
        return Diagnosis(_INFO, "layout", detail, "", first, size_bytes)
    return Diagnosis(_WARNING, "layout", detail, command, first, size_bytes, FIX_STRAYS if is_repaired else "")


def _contents(base: BaseFacts) -> Iterator[Diagnosis]:
    path = base.tier.base
    if base.strays:
        yield _strays(base)
    if base.unfinished:
        first, size_bytes = base.unfinished[0].path, sum(stray.size_bytes for stray in base.unfinished)
        detail = (
            f"{_count(base.unfinished, 'unfinished download')} in {path} outside hub/, where no tool looks (first:"
            f" {first}). Delete what no program will finish."
        )
        command = f"rm -r {shlex.join(stray.path for stray in base.unfinished)}"
        yield Diagnosis(_INFO, "layout", detail, command, first, size_bytes)
    if base.foreign is not None and base.foreign.files:
        uids = sorted({uid for uid, _ in base.foreign.owners})
        users = ", ".join(f"user {uid}{' (root)' if uid == 0 else ''}" for uid in uids)
        detail = (
            f"{many(base.foreign.files, 'file')} of {users} in {path} can't be used by its other users"
            f" (first: {base.foreign.examples[0]})."
        )
        yield Diagnosis(_WARNING, "files", detail, base.foreign.fix, base.foreign.examples[0], base.foreign.size_bytes)
    if base.closed_trees:
        detail = (
            f"Only the owner can read {_count(base.closed_trees, 'file list')} in {path}: to other users an incomplete"
            " snapshot looks complete."
        )
        command = f"chmod a+r {shlex.quote(base.closed_trees[0])}" if len(base.closed_trees) == 1 else DOCTOR_FIX
        yield Diagnosis(_WARNING, "files", detail, command, base.closed_trees[0], fix=FIX_TREES)
    for spare in base.spare:
        if spare.size_bytes:
            detail = f"{spare.path} can be deleted: it is a cache that nothing needs."
            yield Diagnosis(_INFO, "files", detail, f"rm -r {shlex.quote(spare.path)}", spare.path, spare.size_bytes)
    yield from _faults(base.faults)


def _faults(faults: Sequence[Finding]) -> Iterator[Diagnosis]:
    """Yield one finding for all faults of a kind in a repository."""

    def key(fault: Finding) -> tuple[str, str, str]:
        return fault.kind.value, fault.repo_id, fault.model_name

    for _, same in groupby(sorted(faults, key=key), key):
        group = list(same)
        first = group[0]
        more = f" {many(len(group) - 1, 'more file')} of {first.repo_id} with this problem." if group[1:] else ""
        severity = _ERROR if first.model_name or first.kind in _WORST else _WARNING
        needed = f" {first.model_name} needs it." if first.model_name else ""
        detail = f"{first.path}: {first.detail}{needed}{more}"
        yield Diagnosis(severity, "files", detail, first.hint, first.path)


def _count(items: Sequence[object], one: str) -> str:
    return many(len(items), one)
