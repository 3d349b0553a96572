"""What the scan of every base and row found: the input of reconcile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import CommitHash, RefName, RepoId
from modelshelf.domain.sidecars import Sidecar


@dataclass(frozen=True, slots=True)
class SidecarSeen:
    """A sidecar in a base."""

    base: str
    sidecar: Sidecar
    whole_on: tuple[str, ...]
    """The bases that hold all of its files with their sizes; its own first, others only if that one doesn't."""

    @property
    def whole(self) -> bool:
        """Whether its own base holds all of it."""
        return self.base in self.whole_on


@dataclass(frozen=True, slots=True)
class BaseSeen:
    """A base as it is now."""

    path: str
    location: str
    """`primary`, `secondary` or `custom`."""
    tier_id: str
    """The id in its marker; for an offline base the one it had."""
    offline: str
    """Why it can't be read; empty if it can."""
    writable: bool
    sidecars: tuple[SidecarSeen, ...] = ()
    refs: Mapping[RepoId, Mapping[RefName, CommitHash]] = field(default_factory=dict)
    """Repository id to its refs, revision to commit; only repositories of models or sidecars."""


@dataclass(frozen=True, slots=True)
class RowSeen:
    """A registered model, and where its bytes are."""

    row: ModelRow
    base: str
    """The base that it resolves to; empty if it resolves to none in this process."""
    why: str
    """Why it resolves to none."""
    sidecar: Sidecar | None
    """What its sidecar should say; None while its commit or files aren't known."""
    listed: bool
    """Whether the registry itself has its commit's files."""
    whole_on: tuple[str, ...]
    """The bases that hold all of it; its own first, others only if that one doesn't."""
    missing_files: int
    """How many of its files aren't in its base."""
    job_id: int | None
    """A job that works on it or waits to."""


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A whole snapshot that no model resolves to."""

    base: str
    repo_id: RepoId
    commit_hash: CommitHash
    size_bytes: int
    copy_of: str = ""
    """The model with the same files elsewhere; empty without one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was scanned."""

    bases: tuple[BaseSeen, ...]
    """Fastest first."""
    rows: tuple[RowSeen, ...]
    leaving: frozenset[tuple[str, str]] = frozenset()
    """Base and model name of old copies that wait to be deleted."""
    snapshots: tuple[Unregistered, ...] = ()
    """Every snapshot that is complete by its list of files."""
