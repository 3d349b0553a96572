"""Models, the files of a commit, and the states a model can be in."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelshelf.domain.jobs import JobKind
from modelshelf.domain.made_up_commits import is_made_up
from modelshelf.domain.names import CommitHash, Digest, FilePath, ModelName, RefName, RepoId
from modelshelf.domain.outside import size_of
from modelshelf.domain.patterns import FilePattern, Selection
from modelshelf.errors import BadInput
from modelshelf.units import format_size


class State(enum.StrEnum):
    """What a model is for a person who looks at it."""

    REGISTERED = "registered"
    DOWNLOADING = "downloading"
    READY = "ready"
    PARTIAL = "partial"
    DAMAGED = "damaged"
    MOVING = "moving"
    OFFLINE = "offline"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a commit."""

    path: FilePath
    """Its path in the repository, with forward slashes."""
    size_bytes: int
    digest: Digest
    """64 hex of sha256 (LFS files) or 40 hex of the git blob's sha1: the name of its blob."""


def file_entry(row: object) -> FileEntry:
    """Return the file that a list of path, size and digest stands for, as sidecars, jobs and the registry keep it.

    Raises:
        BadInput: It isn't one.
    """
    if not isinstance(row, list | tuple) or len(row) != 3:
        raise BadInput(f"{row!r:.80} isn't a file.")
    path, size_bytes, digest = row
    return FileEntry(FilePath(path), size_of(size_bytes), Digest(digest))


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a hub makes of a repository's id and a revision."""

    repo_id: RepoId
    """As the hub spells it, which is the repository's identity."""
    commit_hash: CommitHash


@dataclass(frozen=True, slots=True)
class Registration:
    """What a person asks for when registering a model."""

    model_name: ModelName
    hf_path: RepoId
    cache_location: str
    """`primary`, `secondary` or `custom`."""
    cache_path: str | None = None
    """The base of a custom location; None for the others."""
    revision: RefName = RefName("main")  # noqa: RUF009 - a str that cannot change
    allow_patterns: tuple[FilePattern, ...] = ()
    """Shell patterns of the files wanted, and behind `!` of those that aren't; empty means all."""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as the registry stores it."""

    id: int
    model_name: ModelName
    hf_path: RepoId
    revision: RefName
    commit_hash: CommitHash | None
    """40 hex; None until the hub was reached for the first time."""
    cache_location: str
    cache_path: str
    """The base as it was called where the model was registered."""
    allow_patterns: tuple[FilePattern, ...]
    pinned: bool
    pin_reason: str
    complete: bool
    """Whether every file was verified and laid out; what the disk says now may differ."""
    signature: str
    """The mtimes of the snapshot and blob folders when `complete` was last set; see `store.repos.scan.signature`.

    It stays when files are found to be gone, and is empty for a model that is not meant to be there yet.
    """
    size_bytes: int
    """Sum over the files selected; a digest that two paths share counts once. 0 until the commit is known."""
    created_at: float
    """Seconds since 1970."""
    arrived_at: float
    """When it came to its tier, in seconds since 1970; `created_at` until it is complete."""
    last_used_at: float | None
    uses: int
    job_id: int | None
    """Its newest job; None without one."""
    job_kind: str
    job_state: str
    """Empty without a job."""
    job_detail: str
    """What that job waits for or failed with."""
    job_done_bytes: int
    job_total_bytes: int
    job_owner: str
    """The process that works on it, as `services.jobs.process` names it; empty while none does."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is now: the row, the base that this process resolves it to, and what the disk says."""

    row: ModelRow
    base: str
    """The base in this process; as it was registered where it can be none here."""
    path: str | None
    """The snapshot folder; None until the commit is known."""
    state: State
    detail: str
    """Why, in a sentence; empty when there is nothing to say."""
    is_unlisted: bool = False
    """Whether it can be loaded and nobody knows if its repository has more files."""

    def __repr__(self) -> str:
        """Return name, state, size and tier in one line."""
        where = self.base if self.cache_location == "custom" else self.cache_location
        return f"<Model {self.model_name}: {self.state.value}, {format_size(self.size_bytes)} on {where}>"

    @property
    def model_name(self) -> ModelName:
        """Our name for it."""
        return self.row.model_name

    @property
    def hf_path(self) -> RepoId:
        """Its repository on the hub."""
        return self.row.hf_path

    @property
    def revision(self) -> RefName:
        """What it follows: a branch, a tag or a commit hash."""
        return self.row.revision

    @property
    def commit_hash(self) -> CommitHash | None:
        """The commit that it is at; None until the hub was reached for the first time."""
        return self.row.commit_hash

    @property
    def cache_location(self) -> str:
        """Its tier: `primary`, `secondary` or `custom`."""
        return self.row.cache_location

    @property
    def size_bytes(self) -> int:
        """What its files have, in bytes; a file that two paths share counts once."""
        return self.row.size_bytes

    @property
    def pinned(self) -> bool:
        """Whether it is never evicted."""
        return self.row.pinned


def select_files(files: Iterable[FileEntry], allow_patterns: Sequence[str]) -> list[FileEntry]:
    """Return the files that one of the patterns matches; all of them without a pattern.

    >>> files = [FileEntry(FilePath(path), 1, Digest("0" * 40)) for path in ("a.gguf", "b/c.txt")]
    >>> [file.path for file in select_files(files, ["b/"])]
    ['b/c.txt']
    """
    wanted = Selection(allow_patterns)
    return [file for file in files if file.path in wanted]


def may_be_short(manifest: Sequence[FileEntry], allow_patterns: Sequence[str]) -> bool:
    """Return whether a manifest may name a part of its commit alone: then it must not be written as the commit's list.

    Where adopt found no list, the manifest is the files that were there, and so are the patterns.

    >>> one = FileEntry(FilePath("a"), 1, Digest("0" * 40))
    >>> may_be_short([one], ["a"]), may_be_short([one], ())
    (True, False)
    """
    return not manifest or (bool(allow_patterns) and len(select_files(manifest, allow_patterns)) == len(manifest))


def blob_sizes(files: Iterable[FileEntry]) -> dict[Digest, int]:
    """Return each digest once, with its size in bytes."""
    return {file.digest: file.size_bytes for file in files}


def total_size(files: Iterable[FileEntry]) -> int:
    """Return the bytes of the distinct blobs of `files`."""
    return sum(blob_sizes(files).values())


_ACTIVE = {"queued": State.DOWNLOADING, "running": State.DOWNLOADING, "waiting": State.REGISTERED}


def state_of(
    row: ModelRow, offline: str, *, missing_files: int, files: int, damaged: str = "", linkable: int = 0
) -> tuple[State, str]:
    """Return a model's state and why.

    A model that is being moved stays complete and can be loaded.

    Args:
        row: The model.
        offline: Why its tier cannot be read; empty when it can.
        missing_files: How many of its files are not on the disk with their size.
        files: How many files it has.
        damaged: One of its files whose bytes were found not to be what its name says; empty without one.
        linkable: How many of those that are not there lost just their links: their blobs are here.
    """
    if offline:
        return State.OFFLINE, offline
    active = row.job_state in _ACTIVE
    if row.complete and not missing_files:
        return _state_of_whole(row, damaged)
    if active and row.job_kind in (JobKind.PULL, JobKind.UPDATE):
        return _ACTIVE[row.job_state], row.job_detail
    if row.job_state == "failed" and row.job_kind == JobKind.PULL and not row.complete:
        return State.FAILED, row.job_detail
    if linkable:
        what = f"{linkable} of {files} files lost their links"
        return State.PARTIAL, f"{what}; shelf verify {row.model_name} --repair restores them, offline."
    return _state_of_leftovers(row, missing_files, files)


def _state_of_whole(row: ModelRow, damaged: str) -> tuple[State, str]:
    """Return the state of a complete model."""
    if row.job_state in _ACTIVE and row.job_kind == JobKind.MOVE:
        return State.MOVING, row.job_detail
    if damaged:
        return State.DAMAGED, f"{damaged} is damaged: shelf verify {row.model_name} --repair"
    return State.READY, ""


def _state_of_leftovers(row: ModelRow, missing_files: int, files: int) -> tuple[State, str]:
    """Return the state of an incomplete model that no job works on."""
    pull = f"shelf pull {row.model_name} downloads"
    if is_made_up(row.commit_hash):
        what = f"{missing_files} of its {files} files are missing, and no hub has them"
        return State.MISSING if missing_files == files else State.PARTIAL, f"{what}: adopt the folder they came from."
    was_whole = row.complete or bool(row.signature)
    if was_whole and missing_files == files:
        return State.MISSING, f"None of its {files} files is on the disk; {pull} them."
    if files and not missing_files:
        return State.PARTIAL, f"Its files are there but not verified; shelf pull {row.model_name} verifies them."
    if was_whole or (files and missing_files < files):
        return State.PARTIAL, f"{missing_files} of {files} files are missing; {pull} them."
    return State.REGISTERED, f"Not downloaded yet; {pull} it."
