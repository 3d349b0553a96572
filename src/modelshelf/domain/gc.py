"""Garbage: what nothing references, what is still needed, and the plans of `gc` and `dedupe`. Pure values."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from modelshelf.domain.names import Digest, RepoId, is_digest

MIN_AGE_S = 3600.0
"""Files changed within this time count as in use, regardless of who writes them, in seconds.

A live download writes at least every few minutes (huggingface_hub gives a silent hub up after five tries of ten
seconds); one that stalls for longer keeps its file open, which is checked as well. The hour is for programs that we
can't see: another host on a network mount, a container of another user, and a clock that is slightly off.
"""
RESUME_S = 7 * 86400.0
"""How long parts of an incomplete model are kept for its next pull, and sidecars without a row, in seconds."""


def digest_of(name: str) -> Digest | None:
    """Return the digest at the beginning of the name of a blob, a part or a temporary file; None without one."""
    stem = name.lstrip(".").partition(".")[0]
    return Digest(stem) if is_digest(stem) else None


@dataclass(frozen=True, slots=True)
class Needs:
    """What the registry needs in one base."""

    digests: Mapping[RepoId, Set[Digest]] = field(default_factory=dict)
    """Repository id to the digests that registered models need here."""
    busy: Set[RepoId] = frozenset()
    """Repositories with a model that has an unfinished job, or a commit that isn't known yet."""
    active: Set[Digest] = frozenset()
    """Digests of models with an unfinished job: their parts are kept at any age."""
    resumable: Set[Digest] = frozenset()
    """Digests of incomplete models."""
    working: bool = False
    """Whether any job is unfinished, whose parts may have other digests than those known."""
    models: Set[str] = frozenset()
    """Models whose sidecar belongs here, or may: those on this base, and those with an unfinished job."""
    elsewhere: Set[str] = frozenset()
    """Models on another base, without a job: a sidecar of theirs here is a leftover."""


def keeps_part(needs: Needs, digest: Digest, age_s: float, min_age_s: float) -> bool:
    """Return whether a partial blob is kept for the next pull.

    >>> part = Digest("ab" * 20)
    >>> keeps_part(Needs(resumable={part}), part, 86400, MIN_AGE_S), keeps_part(Needs(), part, 86400, MIN_AGE_S)
    (True, False)
    """
    if digest in needs.active or age_s < min_age_s:
        return True
    return (needs.working or digest in needs.resumable) and age_s < RESUME_S


@dataclass(frozen=True, slots=True)
class GcItem:
    """One file, link or folder to delete."""

    kind: str
    """`partial`, `part`, `blob`, `shared`, `sidecar`, `ref`, `listing`, `lock`, `folder` or `quarantine`."""
    path: str
    size_bytes: int
    """Bytes that this frees; 0 if other links keep them."""
    why: str
    """Why it is garbage, in a few words."""
    age_s: float = 0.0
    """How long ago it was written, renamed or linked, in seconds."""


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What `gc` will delete in one base."""

    base: str
    min_age_s: float
    items: tuple[GcItem, ...]
    notes: tuple[str, ...] = ()
    """What was left alone and why, in sentences."""
    quarantine_bytes: int = 0
    """The quarantine, which stays; it is deleted only if a person asks."""
    recent_bytes: int = 0
    """Possible garbage that is too young, or open, to tell."""

    @property
    def free_bytes(self) -> int:
        """What all of it frees."""
        return sum(item.size_bytes for item in self.items)


@dataclass(frozen=True, slots=True)
class Tidied:
    """What `gc` or `dedupe` did in one base, measured."""

    location: str
    base: str
    items: tuple[GcItem, ...] = ()
    """What was deleted, or what shares its bytes now (`kind` says how)."""
    freed_bytes: int = 0
    """In apparent bytes."""
    freed_allocated_bytes: int = 0
    """In blocks that the file system got back."""
    shared_bytes: int = 0
    """Bytes that reflinks share, in apparent bytes: the disk stores them once, `du` counts them for each file."""
    quarantine_bytes: int = 0
    """The quarantine afterwards."""
    recent_bytes: int = 0
    """Possible garbage that is too young, or open, to tell."""
    notes: tuple[str, ...] = ()
    """What was left alone and why, in sentences."""


@dataclass(frozen=True, slots=True)
class Group:
    """Blobs of one digest that each hold their own bytes."""

    digest: Digest
    size_bytes: int
    keep: str
    """The blob whose bytes the others get."""
    others: tuple[str, ...]

    @property
    def share_bytes(self) -> int:
        """How many bytes the others will share with it."""
        return self.size_bytes * len(self.others)


@dataclass(frozen=True, slots=True)
class DedupePlan:
    """Which blobs of one base will share their bytes."""

    base: str
    method: str
    """`reflink` or `link`; empty if the file system has neither."""
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    """What was left alone and why, in sentences."""

    @property
    def share_bytes(self) -> int:
        """How many bytes the disk will store once less."""
        return sum(group.share_bytes for group in self.groups)

    @property
    def read_bytes(self) -> int:
        """How many bytes are read at most, if none was verified before."""
        return sum(group.size_bytes * (len(group.others) + 1) for group in self.groups)
