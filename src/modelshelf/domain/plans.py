"""Plans: what an operation will do, as values with their bytes. They are shown, or executed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelshelf.domain.eviction import EvictionPlan
from modelshelf.domain.models import FileEntry, Registration, blob_sizes, total_size
from modelshelf.domain.names import BasePath, CommitHash, Digest, FilePath, ModelName, RefName, RepoId
from modelshelf.domain.tiers import Tier

if TYPE_CHECKING:
    from modelshelf.domain.views import Entry

SEGMENT_BYTES = 64 * 2**10
"""A download is kept in segments of this size; what a killed stream had of its segment is lost."""
CLAIM_BYTES = 8
"""Bytes in a part's map for each segment."""
LEAST_RUN_SEGMENTS = 128
"""A request asks for at least so many missing segments, so that its round trip is worth it."""
MOST_RUN_SEGMENTS = 1024
"""A request asks for at most so many segments, so that streams share the end of a file."""
BESIDE_BYTES = 640 * 2**10
"""Folders and refs of one model, and the registry's reserve (see `registry.sqlite_file`)."""


@dataclass(frozen=True, slots=True)
class BlobNeed:
    """One blob that a pull has to fetch."""

    digest: Digest
    size_bytes: int
    path: FilePath
    """A file of the commit with this content, by which the hub is asked."""


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a pull will fetch."""

    repo_id: RepoId
    commit_hash: CommitHash
    files: tuple[FileEntry, ...]
    """All selected files."""
    fetch: tuple[BlobNeed, ...]
    """Blobs that aren't on the tier, largest first."""
    suspect: tuple[BlobNeed, ...]
    """Blobs on the tier with the wrong size: set aside and fetched again."""

    @property
    def fetch_bytes(self) -> int:
        """Sum of the blobs to fetch, including parts that already arrived."""
        return sum(need.size_bytes for need in self.fetch)

    @property
    def total_bytes(self) -> int:
        """Sum over the distinct blobs of the selection."""
        return total_size(self.files)


def plan_pull(
    repo_id: RepoId, commit_hash: CommitHash, files: Sequence[FileEntry], present: Mapping[Digest, int]
) -> PullPlan:
    """Return what to fetch for `files`.

    Args:
        repo_id: The repository.
        commit_hash: Its commit.
        files: The selected files.
        present: The blobs of this repository on the tier, digest to size in bytes.
    """
    paths = {file.digest: file.path for file in reversed(files)}
    missing = [
        BlobNeed(digest, size_bytes, paths[digest])
        for digest, size_bytes in blob_sizes(files).items()
        if present.get(digest) != size_bytes
    ]
    missing.sort(key=lambda need: (-need.size_bytes, need.digest))
    suspect = tuple(need for need in missing if need.digest in present)
    return PullPlan(repo_id, commit_hash, tuple(files), tuple(missing), suspect)


def beside_bytes(files: Iterable[FileEntry]) -> int:
    """Return the most bytes that a snapshot takes beside its files: links, lists, folders and the registry.

    Measured: a link takes the length of its target. A file's lines in `trees/`, in the model's sidecar and in the
    registry together take less than 1 kB and six times its path. The map of its part is added to that.
    """
    return BESIDE_BYTES + sum(
        1024 + 6 * len(file.path) + CLAIM_BYTES * segment_count(file.size_bytes) for file in files
    )


def segment_count(size_bytes: int) -> int:
    """Return how many segments a blob has; an empty one has none."""
    return -(-size_bytes // SEGMENT_BYTES)


def segment_range(index: int, size_bytes: int) -> tuple[int, int]:
    """Return the half-open byte range of a segment.

    >>> segment_range(1, 2**16 + 10)
    (65536, 65546)
    """
    start = index * SEGMENT_BYTES
    return start, min(start + SEGMENT_BYTES, size_bytes)


def plan_runs(missing: Iterable[int], streams: int, most: int = MOST_RUN_SEGMENTS) -> list[tuple[int, int]]:
    """Return half-open runs of adjacent segments, one for each request, short enough for all streams to have work.

    They get shorter towards the end, so that the streams end together and little is left to hash.

    Args:
        missing: Indices of the segments that have not arrived, ascending.
        streams: How many requests run at the same time.
        most: How many segments a request asks for at most.

    >>> plan_runs([0, 1, 2, 5], streams=1)
    [(0, 3), (5, 6)]
    """
    indices = list(missing)
    longest = 0
    runs: list[tuple[int, int]] = []
    for i, index in enumerate(indices):
        if runs and runs[-1][1] == index and index - runs[-1][0] < longest:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            share = (len(indices) - i) // max(1, streams)
            longest = max(LEAST_RUN_SEGMENTS, min(most, share))
            runs.append((index, index + 1))
    return runs


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a move will do."""

    model_name: ModelName
    repo_id: RepoId
    commit_hash: CommitHash
    source: BasePath
    """The base that it comes from."""
    target: BasePath
    """The base that it goes to."""
    target_location: str
    files: tuple[FileEntry, ...]
    """The model's files."""
    transfer: tuple[BlobNeed, ...]
    """Blobs that the target lacks, largest first."""
    method: str
    """How bytes get there: `link`, `reflink` or `copy`."""
    keep_source: bool
    """Whether the source keeps its copy."""
    note: str = ""
    """Why the source keeps its copy though nobody asked for it, in a sentence."""
    makes_room: EvictionPlan | None = None
    """What is evicted from the target; None if it fits already."""

    @property
    def transfer_bytes(self) -> int:
        """Sum of the blobs that the target lacks."""
        return sum(need.size_bytes for need in self.transfer)

    @property
    def total_bytes(self) -> int:
        """Sum over the distinct blobs of the model."""
        return total_size(self.files)


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """What an update will do."""

    model_name: ModelName
    repo_id: RepoId
    revision: RefName
    """The revision that the model follows."""
    old_commit: CommitHash
    new_commit: CommitHash
    old_files: tuple[FileEntry, ...]
    """The model's files at the old commit."""
    files: tuple[FileEntry, ...]
    """Its files at the new one."""
    fetch: tuple[BlobNeed, ...] = ()
    """Blobs that aren't on its tier, largest first."""
    keep_old: bool = False
    """Whether the old snapshot stays."""
    note: str = ""
    """Why nothing newer is looked for, in a sentence."""

    @property
    def is_current(self) -> bool:
        """Whether there is nothing newer."""
        return self.old_commit == self.new_commit

    @property
    def fetch_bytes(self) -> int:
        """Sum of the blobs to fetch."""
        return sum(need.size_bytes for need in self.fetch)

    @property
    def total_bytes(self) -> int:
        """Sum over the distinct blobs of the new commit."""
        return total_size(self.files)

    @property
    def shared_bytes(self) -> int:
        """Sum of the blobs that both commits have."""
        old = blob_sizes(self.old_files)
        return sum(size_bytes for digest, size_bytes in blob_sizes(self.files).items() if digest in old)


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What removing one model's files will delete, in the order of deletion."""

    repo_id: RepoId
    refs: tuple[str, ...]
    """Refs to a snapshot that goes."""
    links: tuple[str, ...]
    """Files of the snapshot."""
    blobs: tuple[str, ...]
    """Blobs that nothing else needs."""
    parts: tuple[Digest, ...]
    """Digests of partial blobs."""
    extras: tuple[str, ...]
    """What describes a snapshot that goes: its tree list and its negative cache, and killed writes' leftovers."""
    folders: tuple[str, ...]
    """Folders that may be empty afterwards, deepest first."""
    shared_payloads: tuple[str, ...] = ()
    """Payloads of the shared store whose link is among `blobs`: swept by the store's own rules."""
    free_bytes: int = 0
    """Bytes that this will free."""
    views: Mapping[str, Entry] = field(default_factory=dict)
    """By path, what a view has there: it takes the place of what goes."""


@dataclass(frozen=True, slots=True)
class UnneededSnapshot:
    """Files of a snapshot that no registered model needs."""

    tier: Tier
    repo_id: RepoId
    commit_hash: CommitHash
    files: tuple[FileEntry, ...]
    free_bytes: int
    """Bytes that deleting them frees if the repository's other snapshots stay."""


@dataclass(frozen=True, slots=True)
class AddPlan:
    """What registering a model and pulling it will do."""

    wanted: Registration
    """With the repository in the hub's spelling."""
    tier: Tier
    commit_hash: CommitHash | None
    """None if the hub wasn't reachable."""
    manifest: tuple[FileEntry, ...]
    """All files of the commit."""
    size_bytes: int
    """Sum of the selected files."""
    fetch_bytes: int
    """Bytes to fetch, without those that earlier tries left."""
    copy_bytes: int
    """Bytes to copy from another tier, which has the same blobs; likewise."""
    makes_room: EvictionPlan | None
    """What is evicted from the tier; None if it fits already."""

    @property
    def is_here(self) -> bool:
        """Whether every byte is on the tier already, so that a pull asks the hub for none."""
        return self.commit_hash is not None and self.size_bytes > 0 and self.fetch_bytes + self.copy_bytes == 0
