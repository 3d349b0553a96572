"""What a look at every base and every row saw: the input of reconcile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import CommitHash, RefName, RepoId
from modelshelf.domain.sidecars import Sidecar


@dataclass(frozen=True, slots=True)
class SidecarSeen:
    """A sidecar that lies in a base."""

    base: str
    sidecar: Sidecar
    whole_on: tuple[str, ...]
    """The bases that hold all of its files with their sizes; its own first, the others only when that one does not."""

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
    """The id in its marker; for a base that is offline the one it had."""
    offline: str
    """Why it cannot be read; empty when it can."""
    writable: bool
    sidecars: tuple[SidecarSeen, ...] = ()
    refs: Mapping[RepoId, Mapping[RefName, CommitHash]] = field(default_factory=dict)
    """Repository id to its refs, revision to commit; of the repositories that models or sidecars are about."""


@dataclass(frozen=True, slots=True)
class RowSeen:
    """A registered model, and where its bytes are."""

    row: ModelRow
    base: str
    """The base that it resolves to; empty when it resolves to none in this process."""
    why: str
    """Why it resolves to none."""
    sidecar: Sidecar | None
    """What its sidecar should say; None while its commit or its files are not known."""
    listed: bool
    """Whether the registry itself has the files of its commit."""
    whole_on: tuple[str, ...]
    """The bases that hold all of it; its own first, the others only when that one does not."""
    missing_files: int
    """How many of its files are not in its base."""
    job_id: int | None
    """A job that works on it or waits to."""


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A complete snapshot that no model resolves to."""

    base: str
    repo_id: RepoId
    commit_hash: CommitHash
    size_bytes: int
    copy_of: str = ""
    """The model that has the same files elsewhere; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was observed."""

    bases: tuple[BaseSeen, ...]
    """Fastest first."""
    rows: tuple[RowSeen, ...]
    leaving: frozenset[tuple[str, str]] = frozenset()
    """Base and model name of old copies that wait to be deleted."""
    snapshots: tuple[Unregistered, ...] = ()
    """Every snapshot that is complete by its list of files."""
