"""Fetching what clients of `/hf` ask for: one job for each commit, however many clients ask for however many files.

A job takes new files as long as it runs. Small ones that were asked for together are fetched together, each large one
by itself, so that none waits for another. A client that leaves stops nothing: the job goes on, `shelf jobs` shows it,
and after a crash the next server continues it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from modelshelf.domain.job_params import MirrorParams, params_of
from modelshelf.domain.jobs import DOWNLOADING, PAUSED, QUEUED, JobKind
from modelshelf.domain.model_names import free_name
from modelshelf.domain.models import FileEntry, ModelRow, Registration, select_files, total_size
from modelshelf.domain.names import COMMIT_HASH, CommitHash, FilePath, RefName, RepoId
from modelshelf.domain.patterns import FilePattern, escape
from modelshelf.domain.ports import Progress
from modelshelf.domain.tiers import PRIMARY
from modelshelf.errors import Cancelled, NotFound, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.facts import weight_format_of
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.running import Running
from modelshelf.services.lifecycle.model_sidecar import sidecar_of
from modelshelf.services.lifecycle.pull import Puller
from modelshelf.services.mirror.fetch import Fetch, Wish
from modelshelf.services.mirror.share import Share
from modelshelf.services.mirror.upstream import Known, Upstream
from modelshelf.services.space.tiers import TierService
from modelshelf.store import locks, ownership
from modelshelf.store.layout import Base
from modelshelf.store.os_errors import of_os_error
from modelshelf.store.repos import scan, snapshot
from modelshelf.store.repos.materialize import lay_out, list_commit
from modelshelf.store.tiers import sidecars

_log = logging.getLogger(__name__)

READ_SEGMENTS = 256
"""How many segments a request to the hub asks for: 16 MiB, so that a client that reads from the beginning waits for
none that comes from further behind."""
_SMALL_BYTES = 4 * 2**20
"""Files up to this size are fetched together if they are asked for together."""
_AT_ONCE = 16
"""How many fetches of one job run side by side."""
_LINGER_S = 2.0
"""How long a job waits for more files before it ends, in seconds."""
_SETTLE_S = 1.0
"""How often the registry is told which files are there, in seconds."""
_TAKEN_S = 5.0
"""How long a job of another owner is waited for, in seconds."""


@dataclass(frozen=True, slots=True)
class MirrorJobs:
    """Starts and runs the jobs that fetch for clients."""

    registry: Registry
    tiers: TierService
    puller: Puller
    """With few segments in each request, because clients read the files while they arrive."""
    runner: JobRunner
    upstream: Upstream
    share: Share
    _fetches: dict[tuple[RepoId, CommitHash], Fetch] = field(default_factory=dict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def start(self, wish: Wish) -> Fetch:
        """Ask for a file; return the fetch that brings it, or says why it doesn't.

        Raises:
            Unavailable: Another process fetches files of this commit, or the tier is offline.
            Denied: The tier can't be written.
        """
        fetch, is_new = self._joined(wish)
        if is_new:
            why = Unavailable(f"Fetching {wish.known.repo_id} couldn't begin.", hint="Ask again.", retry_after_s=1)
            try:
                self._start_job(self._row(wish), fetch)
            except BaseException as err:
                fetch.stop(err if isinstance(err, ShelfError) else why)
                raise
        return fetch

    def _joined(self, wish: Wish) -> tuple[Fetch, bool]:
        """Return the fetch of a wish's commit, which has the wish now, and whether it is new."""
        key = wish.known.repo_id, wish.known.commit_hash
        with self._mutex:
            fetch = self._fetches.get(key)
            if fetch is not None and fetch.add(wish):
                return fetch, False
            for ended in [key for key, one in self._fetches.items() if one.is_over]:
                del self._fetches[ended]
            fetch = self._fetches[key] = Fetch()
            fetch.add(wish)
            return fetch, True

    def _row(self, wish: Wish) -> ModelRow:
        """Return the mirrored model of a commit, registered now if there is none."""
        known = wish.known
        tier = self.tiers.settings.primary
        self.tiers.open_to_write(tier)
        base = Base(self.tiers.path(tier))
        with locks.wait_lock(base.path, base.mirror_lock, self.puller.clock):
            for row in self.registry.models(repo_id=known.repo_id):
                if row.mirrored and row.revision == RefName(known.commit_hash):
                    return row if row.commit_hash else self._with_files(row, wish)
            self.share.check(known.repo_id, wish.file.size_bytes)
            row = self.registry.add_model(self._registration(wish), self.tiers.settings.stored_path(tier.base))
            _log.info("mirrored", extra={"model_name": row.model_name, "hf_path": row.hf_path})
            return self._with_files(row, wish)

    def _registration(self, wish: Wish) -> Registration:
        known = wish.known
        return Registration(
            free_name(known.repo_id, self.registry.names(), behind="mirror"),
            known.repo_id,
            PRIMARY,
            revision=RefName(known.commit_hash),
            allow_patterns=(FilePattern(escape(wish.file.path)),),
            mirrored=known.mirrored,
        )

    def _with_files(self, row: ModelRow, wish: Wish) -> ModelRow:
        """Store the commit's files for a new row, or one whose process died before it could."""
        self.registry.set_manifest(row, wish.known.commit_hash, wish.manifest)
        return next(iter(self.registry.models(model_id=row.id)), row)

    def _start_job(self, row: ModelRow, fetch: Fetch) -> None:
        """Let a thread of this process run the job that takes a fetch's wishes."""
        until_s = time.monotonic() + _TAKEN_S
        while time.monotonic() < until_s:
            params = MirrorParams(fetch.waiting())
            for job in self.registry.jobs(kind=JobKind.MIRROR, model_id=row.id, state=(PAUSED,)):
                # asking again would resume it, and a client isn't the person who paused it
                raise Unavailable(f"Fetching {row.hf_path} is paused.", hint=f"There: shelf jobs resume {job.id}")
            job = self.registry.enqueue(JobKind.MIRROR, row, params.to_json())
            mine = self.runner.claim(job)
            if mine is not None:
                self.runner.background.start(self.runner.run, Running(mine))
                return
            if fetch.is_run.wait(0.05):  # one of the server's workers was faster
                return
        job = self.registry.job(job.id)
        why = f"Another process fetches files of {row.hf_path}."
        if job.state == QUEUED and job.detail:
            why = f"{row.hf_path} isn't here yet. {job.detail}"
        raise Unavailable(why, hint="Ask again.", retry_after_s=_TAKEN_S)

    def run(self, running: Running) -> None:
        """Run a job: fetch until nobody waits for more.

        Raises:
            ShelfError: The first reason why a file didn't come.
            Cancelled: The job was stopped.
        """
        row = next(iter(self.registry.models(model_id=running.job.model_id)), None)
        if row is None or row.commit_hash is None:
            raise NotFound(f"{running.job.model_name} was removed.", model_name=running.job.model_name)
        fetch = self._of(row, params_of(running.job, MirrorParams))
        fetch.is_run.set()
        try:
            _Carrying(self, running, row, fetch).carry_out()
        except BaseException as err:
            fetch.stop(err if isinstance(err, ShelfError) else _stopped(row))
            raise
        finally:
            self.share.settle(row)

    def _of(self, row: ModelRow, params: MirrorParams) -> Fetch:
        """Return the fetch of a model's commit with the files that its job was left with."""
        assert row.commit_hash is not None
        key = row.hf_path, row.commit_hash
        with self._mutex:
            fetch = self._fetches.get(key)
            if fetch is None or fetch.is_over:
                fetch = self._fetches[key] = Fetch()
        manifest = self.registry.files(*key)
        known = Known(*key, mirrored=row.mirrored)
        for file in manifest:
            if file.path in params.paths:
                fetch.add(Wish(known, row.revision, file, manifest, self.upstream.hub(known, "")))
        return fetch


def _stopped(row: ModelRow) -> Unavailable:
    return Unavailable(f"Fetching {row.hf_path} was stopped.", hint="Ask again.", retry_after_s=1)


class _Carrying:
    """One run of a job."""

    def __init__(self, jobs: MirrorJobs, running: Running, row: ModelRow, fetch: Fetch) -> None:
        assert row.commit_hash is not None
        self._jobs, self._running, self._row, self._fetch = jobs, running, row, fetch
        self._commit_hash = row.commit_hash
        self._manifest = jobs.registry.files(row.hf_path, row.commit_hash)
        had = select_files(self._manifest, row.allow_patterns) if row.complete else []
        self._there = {file.path for file in had}
        self._wanted = set(self._there)
        self._told_files, self._told_at = len(had), 0.0
        self._mutex, self._admitting = threading.Lock(), threading.Lock()
        self._working = 0
        self._errors: dict[FilePath, ShelfError] = {}

    def carry_out(self) -> None:
        """Fetch until nobody waits for more; see `MirrorJobs.run`."""
        progress = self._running.progress
        progress.phase(DOWNLOADING)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mirror") as pool:
            busy_at = time.monotonic()
            while True:
                progress.check()
                wishes = self._fetch.take(0.1)
                for batch in _batches(wishes):
                    self._count(1)
                    pool.submit(self._bring, batch)
                if wishes or self._working:
                    busy_at = time.monotonic()
                elif time.monotonic() - busy_at >= _LINGER_S and self._fetch.end():
                    break
                if wishes or time.monotonic() - self._told_at >= _SETTLE_S:
                    self._tell()
        self._tell()
        if self._errors:
            raise next(iter(self._errors.values()))

    def _count(self, change: int) -> None:
        with self._mutex:
            self._working += change

    def _bring(self, wishes: Sequence[Wish]) -> None:
        """Fetch files and put them where clients find them; whoever waits is told what went wrong."""
        files = [wish.file for wish in wishes]
        paths = [file.path for file in files]
        try:
            self._fetch_files(wishes[0], files)
            with self._mutex:
                self._there.update(paths)
                for path in paths:
                    self._errors.pop(path, None)
            self._fetch.arrived(paths)
        except Cancelled:
            pass  # the job is stopped, and tells it
        except ShelfError as err:
            self._failed(paths, err)
        except OSError as err:
            self._failed(paths, of_os_error(err))
        except Exception as err:  # noqa: BLE001 - logged, and told to whoever waits
            _log.exception("mirror_broke", extra={"model_name": self._row.model_name})
            self._failed(paths, ShelfError(f"The server failed: {type(err).__name__}."))
        finally:
            self._count(-1)

    def _failed(self, paths: Sequence[FilePath], err: ShelfError) -> None:
        _log.warning("mirror_failed", extra={"model_name": self._row.model_name, "detail": err.detail})
        with self._mutex:
            self._errors |= dict.fromkeys(paths, err)
        with self._admitting:
            self._wanted.difference_update(paths)
        self._fetch.failed(paths, err)

    def _fetch_files(self, wish: Wish, files: Sequence[FileEntry]) -> None:
        """Bring files, verified, link them into the snapshot, and set the ref that the client asked for."""
        jobs, running, row = self._jobs, self._running, self._row
        with self._admitting:
            self._wanted.update(file.path for file in files)
            jobs.share.admit(row, total_size(file for file in self._manifest if file.path in self._wanted))
        puller = replace(jobs.puller, hub=wish.hub)
        told = running.reservations.append
        base = puller.bring(row, self._commit_hash, files, _Part(running.progress), told)
        repo = base.repo(row.hf_path)
        with locks.wait_lock(base.path, base.repo_lock(row.hf_path), puller.clock):
            list_commit(repo, self._commit_hash, self._manifest)
            lay_out(base, repo, self._commit_hash, files, Counter(), symlinks=jobs.tiers.links(base))
            if not COMMIT_HASH.fullmatch(wish.revision):
                snapshot.set_refs(repo, {wish.revision: self._commit_hash}, overwrite=True)
        ownership.give_repo_to_group(base, row.hf_path)

    def _tell(self) -> None:
        """Tell the registry and the sidecar which files are there, and the job's row which aren't yet."""
        self._told_at = time.monotonic()
        with self._mutex:
            there, left = set(self._there), {*self._fetch.waiting(), *self._errors}
        self._jobs.registry.set_params(self._running.job, MirrorParams(tuple(sorted(left))))
        if len(there) == self._told_files:
            return
        files = [file for file in self._manifest if file.path in there]
        is_all = len(files) == len(self._manifest)
        patterns = () if is_all else tuple(FilePattern(escape(file.path)) for file in files)
        base = Base(self._jobs.tiers.path(self._jobs.tiers.settings.primary))
        row = replace(self._row, allow_patterns=patterns)
        signature = scan.signature(base.repo(row.hf_path), self._commit_hash)
        written = weight_format_of(base, row.hf_path, self._commit_hash, files)
        self._jobs.registry.placements.grow(row.id, patterns, total_size(files), signature, written)
        sidecars.write(base, sidecar_of(row, self._commit_hash, self._manifest))
        self._told_files = len(there)


class _Part:
    """The progress of one fetch among those of a job."""

    def __init__(self, whole: Counter) -> None:
        self._whole = whole
        self._counts = False

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Begin a phase; only what is downloaded counts."""
        self._counts = name == DOWNLOADING
        if self._counts:
            self._whole.grow(total_bytes)

    def advance(self, done_bytes: int) -> None:
        """Count bytes."""
        if self._counts:
            self._whole.advance(done_bytes)

    def skip(self, done_bytes: int) -> None:
        """Count bytes that were there already."""
        if self._counts:
            self._whole.skip(done_bytes)

    def files(self, sizes: Mapping[str, int]) -> None:
        """Ignore which files they are: the whole has those of several fetches."""

    def of(self, path: str) -> Progress:
        """Return itself."""
        return self

    def note(self, detail: str) -> None:
        """Say what the fetch waits for."""
        self._whole.note(detail)

    def check(self) -> None:
        """Raise Cancelled if the job was stopped."""
        self._whole.check()


def _batches(wishes: Sequence[Wish]) -> Iterator[list[Wish]]:
    """Yield what is fetched together: the small files of each revision and token, and each large one alone."""
    small: dict[tuple[str, int], list[Wish]] = {}
    for wish in wishes:
        if wish.file.size_bytes > _SMALL_BYTES:
            yield [wish]
        else:
            small.setdefault((wish.revision, id(wish.hub)), []).append(wish)
    yield from small.values()
