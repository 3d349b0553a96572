"""What each kind of job needs, as values; a job's row keeps them as JSON, with one parser and one writer for each kind.

`domain.adopt.AdoptRequest` is what the kind `adopt` needs; `pull` needs nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Self, TypeVar

from modelshelf.domain.jobs import Job, JobKind
from modelshelf.domain.models import FileEntry, file_entry
from modelshelf.domain.names import BasePath, CommitHash, RepoId
from modelshelf.domain.outside import flag_of, list_of, maybe, number_of, object_of, parse_json, size_of, text_of
from modelshelf.errors import BadInput


@dataclass(frozen=True, slots=True)
class JobParams(ABC):
    """What a kind of job needs."""

    kind: ClassVar[JobKind]

    def to_json(self) -> dict[str, object]:
        """Return JSON values from which `parse` makes an equal value."""
        return asdict(self)

    @classmethod
    @abstractmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return what JSON values say.

        Raises:
            BadInput, KeyError: They don't mean anything.
        """


_P = TypeVar("_P", bound=JobParams)


def params_of(job: Job, what: type[_P]) -> _P:
    """Return what a job's row says of what is to be done.

    Args:
        job: A job of that kind.
        what: The class of the parameters.

    Raises:
        BadInput: The row means nothing.
    """
    try:
        return what.parse(object_of(parse_json(job.params)))
    except KeyError as err:
        why = f"There is no {err.args[0]!r}."
    except BadInput as err:
        why = err.detail
    raise BadInput(
        f"Job {job.id} ({job.kind}) can't be understood: {why}", hint=f"End it: shelf cancel {job.id}", job_id=job.id
    )


@dataclass(frozen=True, slots=True)
class MoveParams(JobParams):
    """Where a model moves to."""

    kind: ClassVar[JobKind] = JobKind.MOVE

    cache_location: str
    cache_path: str | None
    """The base, as the process that asked for the move would store it."""
    keep_source: bool = False
    makes_room: bool = False
    """Whether the move was asked for to make room; then whoever needs room goes on with it."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return what JSON values say; see `JobParams.parse`."""
        return cls(
            cache_location=text_of(said["cache_location"]),
            cache_path=maybe(said["cache_path"], text_of),
            keep_source=flag_of(said["keep_source"]),
            makes_room=flag_of(said["makes_room"]),
        )


@dataclass(frozen=True, slots=True)
class OldCopy(JobParams):
    """What a move, an update or a removal left behind, which is to be deleted."""

    kind: ClassVar[JobKind] = JobKind.DELETE_OLD_COPY

    cache_path: BasePath
    tier_id: str
    """Empty where it isn't known."""
    hf_path: RepoId
    commit_hash: CommitHash | None
    files: tuple[FileEntry, ...]

    def to_json(self) -> dict[str, object]:
        """Return JSON values from which `parse` makes an equal value."""
        return {
            "cache_path": self.cache_path,
            "tier_id": self.tier_id,
            "hf_path": self.hf_path,
            "commit_hash": self.commit_hash,
            "files": [[file.path, file.size_bytes, file.digest] for file in self.files],
        }

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return what JSON values say; see `JobParams.parse`."""
        return cls(
            cache_path=BasePath(said["cache_path"]),
            tier_id=text_of(said["tier_id"]),
            hf_path=RepoId(said["hf_path"]),
            commit_hash=maybe(said["commit_hash"], CommitHash),
            files=list_of(said["files"], file_entry),
        )


@dataclass(frozen=True, slots=True)
class UpdateParams(JobParams):
    """Which commit a model takes."""

    kind: ClassVar[JobKind] = JobKind.UPDATE

    commit_hash: CommitHash
    keep_old: bool = False
    """Whether the old snapshot stays."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return what JSON values say; see `JobParams.parse`."""
        return cls(CommitHash(said["commit_hash"]), flag_of(said["keep_old"]))


@dataclass(frozen=True, slots=True)
class VerifyParams(JobParams):
    """What is verified, and how."""

    kind: ClassVar[JobKind] = JobKind.VERIFY

    model_names: tuple[str, ...] = ()
    """The models; everything without one, registered or not."""
    max_age_s: float | None = None
    """Blobs that were verified not longer ago, and not written since, are left out."""
    rate_bytes_per_s: int | None = None
    """How much is read in a second; None: as fast as it goes."""
    repair: bool = False
    """Whether damage is set aside, and good bytes are brought."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return what JSON values say; see `JobParams.parse`."""
        return cls(
            model_names=list_of(said["model_names"], text_of),
            max_age_s=maybe(said["max_age_s"], number_of),
            rate_bytes_per_s=maybe(said["rate_bytes_per_s"], size_of),
            repair=flag_of(said["repair"]),
        )


@dataclass(frozen=True, slots=True)
class GcParams(JobParams):
    """Where garbage is collected."""

    kind: ClassVar[JobKind] = JobKind.GC

    tier: str | None = None
    """`primary`, `secondary` or a base; None: every tier that is there."""
    quarantine: bool = False
    """Whether what lies in quarantine goes too."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return what JSON values say; see `JobParams.parse`."""
        return cls(maybe(said["tier"], text_of), flag_of(said["quarantine"]))


@dataclass(frozen=True, slots=True)
class DedupeParams(JobParams):
    """Where identical blobs come to share their bytes."""

    kind: ClassVar[JobKind] = JobKind.DEDUPE

    tier: str | None = None
    """`primary`, `secondary` or a base; None: every tier that is there."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return what JSON values say; see `JobParams.parse`."""
        return cls(maybe(said["tier"], text_of))


@dataclass(frozen=True, slots=True)
class ReconcileParams(JobParams):
    """What registry and disks are brought together on."""

    kind: ClassVar[JobKind] = JobKind.RECONCILE

    bases: tuple[str, ...] = ()
    """Further bases, beside those that are known."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return what JSON values say; see `JobParams.parse`."""
        return cls(list_of(said["bases"], text_of))
