"""The parameters of each kind of job, as values; a job's row stores them as JSON, with one parser and writer per kind.

`domain.adopt.AdoptRequest` has the parameters of the kind `adopt`; `pull` needs none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Self, TypeVar

from modelshelf.domain.jobs import Job, JobKind
from modelshelf.domain.models import FileEntry, file_entries
from modelshelf.domain.names import BasePath, CommitHash, FilePath, RepoId, ViewRoot
from modelshelf.domain.outside import flag_of, list_of, maybe, number_of, object_of, parse_json, size_of, text_of
from modelshelf.domain.view_kinds import ViewKind, kind_of
from modelshelf.errors import BadInput


@dataclass(frozen=True, slots=True)
class JobParams(ABC):
    """The parameters of a kind of job."""

    kind: ClassVar[JobKind]

    def to_json(self) -> dict[str, object]:
        """Return JSON values from which `parse` makes an equal value."""
        return asdict(self)

    @classmethod
    @abstractmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values.

        Raises:
            BadInput, KeyError: They aren't valid.
        """


_P = TypeVar("_P", bound=JobParams)


def params_of(job: Job, what: type[_P]) -> _P:
    """Return the parameters in a job's row.

    Args:
        job: A job of that kind.
        what: The class of the parameters.

    Raises:
        BadInput: They aren't valid.
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
    """The target of a move."""

    kind: ClassVar[JobKind] = JobKind.MOVE

    cache_location: str
    cache_path: str | None
    """The base, as the process that asked for the move would store it."""
    keep_source: bool = False
    makes_room: bool = False
    """Whether it is an eviction, which the next process that needs room finishes after a crash."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(
            cache_location=text_of(said["cache_location"]),
            cache_path=maybe(said["cache_path"], text_of),
            keep_source=flag_of(said["keep_source"]),
            makes_room=flag_of(said["makes_room"]),
        )


@dataclass(frozen=True, slots=True)
class OldCopy(JobParams):
    """What a move, an update or a removal left behind to be deleted."""

    kind: ClassVar[JobKind] = JobKind.DELETE_OLD_COPY

    cache_path: BasePath
    tier_id: str
    """Empty if it isn't known."""
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
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(
            cache_path=BasePath(said["cache_path"]),
            tier_id=text_of(said["tier_id"]),
            hf_path=RepoId(said["hf_path"]),
            commit_hash=maybe(said["commit_hash"], CommitHash),
            files=file_entries(said["files"]),
        )


@dataclass(frozen=True, slots=True)
class UpdateParams(JobParams):
    """The commit that a model takes."""

    kind: ClassVar[JobKind] = JobKind.UPDATE

    commit_hash: CommitHash
    keep_old: bool = False
    """Whether the old snapshot stays."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(CommitHash(said["commit_hash"]), flag_of(said["keep_old"]))


@dataclass(frozen=True, slots=True)
class MirrorParams(JobParams):
    """What clients of `/hf` wait for."""

    kind: ClassVar[JobKind] = JobKind.MIRROR

    paths: tuple[FilePath, ...]
    """Files of the model's commit."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(list_of(said["paths"], FilePath))


@dataclass(frozen=True, slots=True)
class VerifyParams(JobParams):
    """What to verify, and how."""

    kind: ClassVar[JobKind] = JobKind.VERIFY

    model_names: tuple[str, ...] = ()
    """The models; without one everything, registered or not."""
    max_age_s: float | None = None
    """Blobs that were verified within this time and not written since are skipped, in seconds."""
    rate_bytes_per_s: int | None = None
    """How much to read in a second; None: unlimited."""
    repair: bool = False
    """Whether to set damage aside and bring good bytes."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(
            model_names=list_of(said["model_names"], text_of),
            max_age_s=maybe(said["max_age_s"], number_of),
            rate_bytes_per_s=maybe(said["rate_bytes_per_s"], size_of),
            repair=flag_of(said["repair"]),
        )


@dataclass(frozen=True, slots=True)
class GcParams(JobParams):
    """Where to collect garbage."""

    kind: ClassVar[JobKind] = JobKind.GC

    tier: str | None = None
    """`primary`, `secondary` or a base; None: every online tier."""
    quarantine: bool = False
    """Whether to delete the quarantine too."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(maybe(said["tier"], text_of), flag_of(said["quarantine"]))


@dataclass(frozen=True, slots=True)
class DedupeParams(JobParams):
    """Where to deduplicate."""

    kind: ClassVar[JobKind] = JobKind.DEDUPE

    tier: str | None = None
    """`primary`, `secondary` or a base; None: every online tier."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(maybe(said["tier"], text_of))


@dataclass(frozen=True, slots=True)
class ReconcileParams(JobParams):
    """What to reconcile."""

    kind: ClassVar[JobKind] = JobKind.RECONCILE

    bases: tuple[str, ...] = ()
    """Bases beside the known ones."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(list_of(said["bases"], text_of))


@dataclass(frozen=True, slots=True)
class ViewSyncParams(JobParams):
    """Which views to make true."""

    kind: ClassVar[JobKind] = JobKind.VIEW_SYNC

    view_kind: ViewKind | None = None
    """Only views of this kind; None: of any."""
    root: ViewRoot | None = None
    """Only the view in this folder; None: in any."""

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> Self:
        """Return the parameters in JSON values; see `JobParams.parse`."""
        return cls(maybe(said["view_kind"], lambda kind: kind_of(text_of(kind))), maybe(said["root"], ViewRoot))
