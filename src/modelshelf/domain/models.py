"""Models, the files of a commit, and the states a model can be in."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

from modelshelf.domain.engine_choice import NOTHING_CHOSEN, EngineChoice
from modelshelf.domain.jobs import JobKind
from modelshelf.domain.made_up_commits import is_made_up
from modelshelf.domain.names import CommitHash, Digest, FilePath, ModelName, RefName, RepoId
from modelshelf.domain.outside import sizes_of
from modelshelf.domain.patterns import FilePattern, Selection
from modelshelf.domain.users import User
from modelshelf.errors import BadInput
from modelshelf.units import format_size, many


class State(enum.StrEnum):
    """A model's state, for people."""

    REGISTERED = "registered"
    QUEUED = "queued"
    PAUSED = "paused"
    DOWNLOADING = "downloading"
    READY = "ready"
    PARTIAL = "partial"
    DAMAGED = "damaged"
    MOVING = "moving"
    OFFLINE = "offline"
    MISSING = "missing"
    FAILED = "failed"


class Mirrored(enum.StrEnum):
    """Whether a client's request at `/hf` brought a model, and not a person."""

    NO = ""
    OPEN = "open"
    GATED = "gated"
    """The hub gave it to the token of one caller; others need their own."""

    @classmethod
    def parse(cls, text: object) -> Mirrored:
        """Return the value of a word.

        Raises:
            BadInput: It isn't one.
        """
        try:
            return cls(str(text))
        except ValueError:
            raise BadInput(f"{text!r:.80} doesn't say how a model was mirrored.") from None


class FileEntry(NamedTuple):
    """One file of a commit."""

    path: FilePath
    """Its path in the repository, with forward slashes."""
    size_bytes: int
    digest: Digest
    """64 hex of sha256 (LFS files) or 40 hex of the git blob's sha1: the name of its blob."""


def file_entries(rows: object) -> tuple[FileEntry, ...]:
    """Return the files in a list of path, size and digest each, as sidecars, jobs and the registry store them.

    Raises:
        BadInput: It isn't one.

    >>> file_entries([["a.bin", 7, "0" * 40]])
    (FileEntry(path='a.bin', size_bytes=7, digest='0000000000000000000000000000000000000000'),)
    """
    if not isinstance(rows, list):
        raise BadInput(f"{rows!r:.80} isn't a list.")
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise BadInput(f"{row!r:.80} isn't a file.")
    return entries_of(*zip(*rows, strict=True)) if rows else ()


def entries_of(paths: Sequence[object], sizes: Sequence[object], digests: Sequence[object]) -> tuple[FileEntry, ...]:
    """Return files from their paths, their sizes and their digests, of which there are as many.

    Raises:
        BadInput: One of them is invalid.
    """
    columns = zip(FilePath.each(paths), sizes_of(sizes), Digest.each(digests), strict=True)
    return tuple(map(tuple.__new__, repeat(FileEntry), columns))  # as FileEntry._make, which counts each again


@dataclass(frozen=True, slots=True)
class Resolved:
    """A hub's answer for a repository's id and a revision."""

    repo_id: RepoId
    """In the hub's spelling, which is the repository's identity."""
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
    """Shell patterns of the files to take, and with `!` of files to leave out; empty means all."""
    pinned: bool = False
    mirrored: Mirrored = Mirrored.NO


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as the registry stores it."""

    id: int
    model_name: ModelName
    hf_path: RepoId
    revision: RefName
    commit_hash: CommitHash | None
    """40 hex; None before the hub was first reached."""
    cache_location: str
    cache_path: str
    """The base, by the path of the process that registered the model."""
    allow_patterns: tuple[FilePattern, ...]
    pinned: bool
    pin_reason: str
    complete: bool
    """Whether every file was verified and laid out; the disk may differ now."""
    signature: str
    """The mtimes of the snapshot and blob folders when `complete` was last set; see `store.repos.scan.signature`.

    It stays if files turn out to be missing, and is empty for a model that was never complete.
    """
    size_bytes: int
    """The total size of the selected files; a digest that two paths share counts once. 0 until the commit is known."""
    format: str
    """How its weights are written: `GGUF`, `safetensors`, `MLX` …; empty if unknown."""
    quantisation: str
    """`Q4_K_M`, `BF16` …; empty if unknown."""
    created_at: float
    """Seconds since 1970."""
    arrived_at: float
    """When it came to its tier, in seconds since 1970; `created_at` until it is complete."""
    last_used_at: float | None
    uses: int
    """How often it was used through shelf."""
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
    """The identity of the process that runs it, see `services.jobs.process`; empty if none does."""
    mirrored: Mirrored = Mirrored.NO
    engine: EngineChoice = NOTHING_CHOSEN
    last_used_by: User = User.NOBODY


@dataclass(frozen=True, slots=True)
class Model:
    """A model with its state now: the row, the base that this process resolves it to, and the disk's state."""

    row: ModelRow
    base: str
    """The base in this process; the registered one if it can't be one here."""
    path: str | None
    """The snapshot folder; None until the commit is known."""
    state: State
    detail: str
    """Why, in a sentence; empty if there is nothing to say."""
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
        """The branch, tag or commit hash that it follows."""
        return self.row.revision

    @property
    def commit_hash(self) -> CommitHash | None:
        """Its commit; None before the hub was first reached."""
        return self.row.commit_hash

    @property
    def cache_location(self) -> str:
        """Its tier: `primary`, `secondary` or `custom`."""
        return self.row.cache_location

    @property
    def size_bytes(self) -> int:
        """The size of its files, in bytes; a file that two paths share counts once."""
        return self.row.size_bytes

    @property
    def pinned(self) -> bool:
        """Whether it is protected from eviction."""
        return self.row.pinned


def select_files(files: Iterable[FileEntry], allow_patterns: Sequence[str]) -> list[FileEntry]:
    """Return the files that one of the patterns matches; all of them without a pattern.

    >>> files = [FileEntry(FilePath(path), 1, Digest("0" * 40)) for path in ("a.gguf", "b/c.txt")]
    >>> [file.path for file in select_files(files, ["b/"])]
    ['b/c.txt']
    """
    if not allow_patterns:
        return list(files)
    wanted = Selection(allow_patterns)
    return [file for file in files if file.path in wanted]


def may_be_short(manifest: Sequence[FileEntry], allow_patterns: Sequence[str]) -> bool:
    """Return whether a manifest may name only a part of its commit: then it isn't written as the commit's list.

    If adopt found no list, the manifest is the files on the disk, and so are the patterns.

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


_ACTIVE = {
    "queued": State.QUEUED,
    "running": State.DOWNLOADING,
    "waiting": State.REGISTERED,
    "paused": State.PAUSED,
}


def state_of(
    row: ModelRow, offline: str, *, missing_files: int, files: int, damaged: str = "", linkable: int = 0
) -> tuple[State, str]:
    """Return a model's state and why.

    A moving model stays complete and can be loaded.

    Args:
        row: The model.
        offline: Why its tier can't be read; empty if it can.
        missing_files: How many of its files aren't on the disk with their size.
        files: How many files it has.
        damaged: One of its files that verify found damaged; empty without one.
        linkable: How many of the missing files lost only their links, and have their blobs.
    """
    if offline:
        return State.OFFLINE, offline
    active = row.job_state in _ACTIVE
    if row.complete and not missing_files:
        return _state_of_whole(row, damaged)
    if active and row.job_kind in (JobKind.PULL, JobKind.UPDATE, JobKind.MIRROR):
        return _ACTIVE[row.job_state], row.job_detail or _why_active(row)
    if row.job_state == "failed" and row.job_kind == JobKind.PULL and not row.complete:
        return State.FAILED, row.job_detail
    if linkable:
        what = f"{linkable} of {many(files, 'file')} lost their links"
        return State.PARTIAL, f"{what}; shelf verify {row.model_name} --repair restores them, offline."
    return _state_of_leftovers(row, missing_files, files)


def _why_active(row: ModelRow) -> str:
    """Return what the job of a model that isn't whole waits for, or does."""
    if row.job_state == "queued":
        return f"Its download waits for its turn, or for a server; shelf pull {row.model_name} begins it now."
    if row.job_state == "paused":
        return f"Its download is paused: shelf jobs resume {row.job_id}"
    return f"Job {row.job_id} works on it: shelf jobs --watch"


def _why_moving(row: ModelRow) -> str:
    """Return what the move of a model that can be loaded waits for, or does."""
    if row.job_state == "running":
        return f"Job {row.job_id} works on it: shelf jobs --watch"
    if row.job_state == "paused":
        return f"Its move is paused: shelf jobs resume {row.job_id}"
    waits = "Its move waits for its turn, or for a server"
    return f"{waits}; shelf move goes on with it now, and shelf cancel {row.job_id} leaves it here."


def _state_of_whole(row: ModelRow, damaged: str) -> tuple[State, str]:
    """Return the state of a complete model."""
    if row.job_state in _ACTIVE and row.job_kind == JobKind.MOVE:
        return State.MOVING, row.job_detail or _why_moving(row)
    if damaged:
        return State.DAMAGED, f"{damaged} is damaged: shelf verify {row.model_name} --repair"
    return State.READY, ""


def _state_of_leftovers(row: ModelRow, missing_files: int, files: int) -> tuple[State, str]:
    """Return the state of an incomplete model that no job works on."""
    pull = f"shelf pull {row.model_name} downloads"
    if is_made_up(row.commit_hash):
        what = f"{missing_of(missing_files, files)}, and no hub has them"
        return State.MISSING if missing_files == files else State.PARTIAL, f"{what}: adopt the folder they came from."
    was_whole = row.complete or bool(row.signature)
    if was_whole and missing_files == files:
        return State.MISSING, f"None of its {many(files, 'file')} is on the disk; {pull} them."
    if files and not missing_files:
        return State.PARTIAL, f"Its files are there but not verified; shelf pull {row.model_name} verifies them."
    if was_whole or (files and missing_files < files):
        return State.PARTIAL, f"{missing_of(missing_files, files)}; {pull} them."
    return State.REGISTERED, f"Not downloaded yet; {pull} it."


def missing_of(missing: int, files: int) -> str:
    """Return how many of a model's files are missing, as a clause.

    >>> missing_of(1, 3), missing_of(1200, 1200)
    ('1 of 3 files is missing', '1,200 of 1,200 files are missing')
    """
    return f"{missing:,} of {many(files, 'file')} {'is' if missing == 1 else 'are'} missing"
