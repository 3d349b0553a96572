"""Protocols with more than one implementation (a fake counts)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from modelshelf.domain.candidates import Candidate
    from modelshelf.domain.jobs import Moved
    from modelshelf.domain.listing import Listing
    from modelshelf.domain.models import FileEntry, ModelRow, Resolved
    from modelshelf.domain.names import CommitHash, FilePath, RefName, RepoId
    from modelshelf.domain.serving import DeviceMemory, EngineState, Served, Wanted


class Clock(Protocol):
    """Time, which tests can set."""

    def now(self) -> float:
        """Return seconds since 1970."""

    def sleep(self, duration_s: float) -> None:
        """Wait."""


class Progress(Protocol):
    """Told how far long work is."""

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Begin a new phase with this many bytes to handle; without a number the figures stay."""

    def advance(self, done_bytes: int) -> None:
        """Count this many more bytes as done."""

    def skip(self, done_bytes: int) -> None:
        """Count bytes that were already there and say nothing about the rate. A negative number takes some back."""

    def files(self, sizes: Mapping[str, int]) -> None:
        """Tell these files apart from now on, until the next phase with bytes: their sizes in bytes, by path."""

    def of(self, path: str) -> Progress:
        """Return the progress of one of them; what it counts, counts for the whole too."""

    def note(self, detail: str) -> None:
        """Say in a sentence what the work waits for; empty: nothing."""

    def check(self) -> None:
        """Raise Cancelled if the work was stopped; otherwise return at once."""


class ByteStream(Protocol):
    """An open answer of the hub."""

    start: int
    """The offset in the file of the first byte that will be read: 0 if ranges aren't honoured."""
    ranged: bool
    """Whether the range was honoured; if not, this is the entire file from its beginning."""

    def read_into(self, view: memoryview) -> int:
        """Read into `view` until it is full or a moment has passed; return how many bytes came: 0 only at the end.

        Raises:
            Unavailable: The connection broke; earlier calls have returned all bytes that came.
        """

    def abort(self) -> None:
        """End a `read_into` that waits in another thread at once."""


class Hub(Protocol):
    """A Hugging Face hub."""

    endpoint: str

    def resolve(self, repo_id: RepoId, revision: RefName | CommitHash) -> Resolved:
        """Return the repository in the hub's spelling, and the commit of `revision`.

        Raises:
            NotFound: No such repository or revision.
            Denied: Gated or private.
            Unavailable: The hub isn't reachable.
        """

    def search(self, text: str, limit: int) -> list[Candidate]:
        """Return at most so many repositories with these words in their names, most downloads first.

        Raises:
            NotFound: The hub can't be searched.
            Unavailable: It isn't reachable.
        """

    def list_files(self, repo_id: RepoId, commit_hash: CommitHash) -> list[FileEntry]:
        """Return all files of a commit, with sizes and digests."""

    def open_range(
        self, repo_id: RepoId, commit_hash: CommitHash, path: FilePath, start: int, stop: int
    ) -> AbstractContextManager[ByteStream]:
        """Ask for a half-open byte range of one file."""


class Reader(Protocol):
    """The registry, read only: what `shelf ls`, `path` and `env` need, without slow imports."""

    def models(
        self,
        *,
        repo_id: str | None = None,
        any_case: str | None = None,
        cache_location: str | None = None,
        model_id: int | None = None,
    ) -> list[ModelRow]:
        """Return models, by name; all of them where nothing is asked.

        Args:
            repo_id: Those of a repository.
            any_case: Those of a repository whose id may be written in upper or lower case.
            cache_location: Those of a location.
            model_id: The one of an id.
        """

    def adapters(self) -> list[ModelRow]:
        """Return the models whose commits have the configuration of an adapter, by name."""

    def names(self) -> dict[str, str]:
        """Return the repository of each model by the model's name."""

    def listed(self, listing: Listing) -> list[ModelRow]:
        """Return the models that a person wants to see, in that order."""

    def model(self, model_name: str) -> ModelRow | None:
        """Return one model."""

    def files(self, repo_id: str, commit_hash: str) -> list[FileEntry]:
        """Return the manifest of a commit: all files, selected or not, by path."""

    def manifests(self) -> dict[tuple[str, str], list[FileEntry]]:
        """Return the manifests of all commits, by repository and commit: one statement for who asks about all."""

    def moves(self, model_id: int) -> list[Moved]:
        """Return a model's last finished moves, newest first."""

    def tier_ids(self) -> dict[str, str]:
        """Return the used bases, path to tier id."""

    def leaving(self) -> set[tuple[str, str]]:
        """Return base and repository of old copies that wait to be deleted."""

    def damage(self) -> dict[tuple[str, str], str]:
        """Return the stamps of damaged blobs by tier id and digest; see `registry.verified_blobs`."""


class RunningEngine(Protocol):
    """A child that answers for one model, until it dies or is stopped."""

    served: Served
    load_s: float
    """The seconds from its start to its first ready answer."""

    def memory_bytes(self) -> int:
        """Return what its processes hold in memory now; 0 where that can't be told."""

    def signs_of_life(self) -> int:
        """Return a number that grows between two calls unless it hangs; blocking, for seconds where it does."""

    def log(self) -> Sequence[str]:
        """Return the last lines that it wrote, oldest first."""

    async def died(self) -> str:
        """Wait until it is gone, stopped or not; returns why, in a sentence with its last words."""

    async def sleep(self) -> None:
        """Let it give the memory of its device back, and keep its process.

        Raises:
            EngineFailed: It doesn't.
        """

    async def wake(self) -> None:
        """Let it answer again.

        Raises:
            EngineFailed: It doesn't.
        """

    async def stop(self) -> None:
        """End it and all its children, politely first; returns when nothing of it is left."""


class EngineStarter(Protocol):
    """Starts engines; knows the registry, leases, backends and processes, and decides nothing of when."""

    def look(self, model: str | int) -> Wanted:
        """Return what a model would be served as; blocking, and starts nothing.

        Args:
            model: Its name; or the id of one that was looked up before, and may have another name by now.

        Raises:
            NotFound: There is no such model.
            BadInput: Nothing that is installed serves it; says what to install.
        """

    def memory(self) -> Mapping[str, DeviceMemory]:
        """Return the memory of each device that `Wanted.device` may name, "" for the machine's own; blocking."""

    def end_left_behind(self) -> int:
        """End the children of processes that were killed; returns how many processes those were; blocking."""

    async def start(self, wanted: Wanted, told: Callable[[EngineState], None]) -> RunningEngine:
        """Fetch, lease and start a model; returns its engine once it answers. Cancelled, it leaves nothing behind.

        Args:
            wanted: What `look` returned.
            told: Told of each state on the way: fetching, promoting, starting; of STOPPED when somebody wants the start
                ended, which its caller then does.

        Raises:
            EngineFailed: It didn't start; says why, with the last lines of its log, and whether memory was short.
            NotFound, Conflict, Unavailable: Its files can't be used.
        """
