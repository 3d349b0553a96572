"""Deleting what a moved, updated or removed model left behind, once nobody uses it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.domain.job_params import OldCopy, params_of
from modelshelf.domain.jobs import GOING_ON, UNFINISHED, Job, JobKind, result_of
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import BasePath, CommitHash, RepoId
from modelshelf.domain.outside import size_of
from modelshelf.domain.ports import Clock
from modelshelf.domain.tiers import CUSTOM, Tiers
from modelshelf.errors import BadInput, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.leases import holding
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.running import Running
from modelshelf.services.views.keep import ViewKeeper
from modelshelf.store import locks, ownership
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.repos import delete, scan
from modelshelf.store.tiers import governor, marker, sidecars

_LOOK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class OldCopyDeleter:
    """Deletes old copies. Copying is always allowed; deleting waits for leases and open files."""

    registry: Registry
    library: Library
    clock: Clock
    views: ViewKeeper

    def run(self, running: Running) -> None:
        """Run a job that deletes an old copy; its result says what that freed.

        Raises:
            Unavailable: The files are in use, or their drive is offline; the job waits.
        """
        old = params_of(running.job, OldCopy)
        base = _base_here(self.library.tiers, old)
        if base is None:
            raise Unavailable(marker.why_offline(Base(Path(old.cache_path)), old.tier_id), retry_after_s=60)
        freed = self.delete(base, old.hf_path, old.commit_hash, old.files, model_name=running.job.model_name)
        self.registry.update_job(running.job.id, {"result": json.dumps(asdict(freed))})

    def delete(
        self,
        base: Base,
        repo_id: RepoId,
        commit_hash: CommitHash | None,
        files: Sequence[FileEntry],
        *,
        gone: Collection[int] = (),
        model_name: str = "",
    ) -> Freed:
        """Delete files of one commit in one base that no registered model there needs; return what that freed.

        Args:
            base: The base.
            repo_id: The repository.
            commit_hash: The commit; None if no file goes.
            files: The files to delete.
            gone: Ids of models whose needs are ignored.
            model_name: The model that they were of; its sidecar goes even where no ref tells of it.

        Raises:
            Unavailable: They are in use, or their drive is offline; none of them was deleted.

        **Crash:** views lead to other files, or to none, before these go; where a view is in the base itself, its
        links replace them one by one.
        """
        self.views.before_deletion()
        self._check_there(base, repo_id)
        with locks.wait_lock(base.path, base.repo_lock(repo_id), self.clock):
            freed = self._remove_stale_sidecars(base, repo_id, model_name)
            if not files or commit_hash is None:
                return Freed()
            users = self.users(base, repo_id, commit_hash, files)
            if users:
                raise Unavailable(
                    f"The old copy in {base.path} is used by {', '.join(users)}.",
                    hint="It is deleted when they end.",
                    retry_after_s=_LOOK_AGAIN_S,
                    used_by=users,
                )
            keep = self.library.needed_paths(base, repo_id, commit_hash, gone=gone)
            others = self.library.needed_digests(base, repo_id, commit_hash, gone=gone)
            with self.views.replacing(base, repo_id) as views:
                plan = delete.plan_removal(base, repo_id, commit_hash, files, keep, others, views)
                return freed + delete.execute(base, plan)

    def waiting_bytes(self, base: Base) -> int:
        """Return by how much a base's usage falls when its waiting old copies that nobody uses are deleted.

        One whose deletion a person paused stays until it is resumed.
        """
        waiting = 0
        for job in self.registry.jobs(kind=JobKind.DELETE_OLD_COPY, state=GOING_ON):
            with contextlib.suppress(ShelfError):  # what can't be deleted frees nothing
                waiting += self._leaving_bytes(base, params_of(job, OldCopy))
        return waiting

    def _leaving_bytes(self, base: Base, old: OldCopy) -> int:
        is_here = _base_here(self.library.tiers, old) == base
        if not is_here or old.commit_hash is None or self.users(base, old.hf_path, old.commit_hash, old.files):
            return 0
        keep = self.library.needed_paths(base, old.hf_path, old.commit_hash)
        others = self.library.needed_digests(base, old.hf_path, old.commit_hash)
        plan = delete.plan_removal(base, old.hf_path, old.commit_hash, old.files, keep, others)
        return delete.leaving_bytes(base, plan)

    def _check_there(self, base: Base, repo_id: RepoId) -> None:
        """Raise unless the old copy's own tier, and not another drive in its place, can be written.

        Raises:
            Unavailable: It can't; the job waits.
        """
        known_id = self.library.known.load().get(str(base.path)) or self.registry.tier_ids().get(str(base.path))
        reason = marker.why_offline(base, known_id or "")
        reason = reason or governor.why_not_ours(base, self.registry.id, self.registry.url)
        if not reason and not marker.is_writable(base):
            reason = f"{base.path} is read-only here."
        if not reason and (why := ownership.why_not_changeable(base.repo(repo_id))):
            reason = f"{why} Repair it: {ownership.fix(base)}"
        if reason:
            raise Unavailable(reason, retry_after_s=60, cache_path=str(base.path))

    def _remove_stale_sidecars(self, base: Base, repo_id: RepoId, model_name: str) -> Freed:
        """Delete the sidecars of models of this repository that are elsewhere by now, or gone."""
        freed = Freed()
        for sidecar in sidecars.of_repo(base, repo_id, model_name):
            row = self.registry.model(sidecar.model_name)
            if row is None or self.library.base_of(row) != str(base.path):
                freed += sidecars.remove(base, sidecar.model_name)
        return freed

    def users(self, base: Base, repo_id: RepoId, commit_hash: CommitHash, files: Sequence[FileEntry]) -> list[str]:
        """Return who holds a lease on a placement or has one of its files open, in words."""
        paths = scan.file_paths(base.repo(repo_id), commit_hash, files)
        return sorted({*self.holders(base).get(repo_id, ()), *open_files.users_of(paths)})

    def holders(self, base: Base) -> dict[RepoId, set[str]]:
        """Return who holds leases in a base, in words, by the repository."""
        held = holding(self.registry, self.library.tiers, str(base.path))
        found: dict[RepoId, set[str]] = {}
        for lease in held:
            for row in self.registry.models(model_id=lease.model_id):
                found.setdefault(row.hf_path, set()).add(lease.holder)
        return found


def read_freed(job: Job) -> Freed:
    """Return what a job that deletes an old copy freed."""
    return Freed(**{name: size_of(value) for name, value in result_of(job).items()})


def old_copy(
    tiers: Tiers, base: Base, repo_id: RepoId, commit_hash: CommitHash | None, files: Iterable[FileEntry]
) -> OldCopy:
    """Return the parameters of a job that deletes an old copy; another process may have another path for the base."""
    stored = BasePath(tiers.stored_path(str(base.path)))
    return OldCopy(stored, marker.read_id(base) or "", repo_id, commit_hash, tuple(files))


def leaving(registry: Registry, tiers: Tiers) -> Iterator[tuple[str, str]]:
    """Yield the base and model name of each old copy that waits to be deleted."""
    for job in registry.jobs(kind=JobKind.DELETE_OLD_COPY, state=UNFINISHED):
        with contextlib.suppress(BadInput):  # running the job says what is wrong with it
            old = params_of(job, OldCopy)
            base = _base_here(tiers, old)
            yield str(base.path) if base else old.cache_path, job.model_name


def _base_here(tiers: Tiers, old: OldCopy) -> Base | None:
    """Return this process's path of an old copy's base, by the tier's id; None if the tier isn't here."""
    path, tier_id = old.cache_path, old.tier_id
    if not tier_id:
        return Base(Path(path))
    paths: list[str] = [path, *(tier.base for tier in tiers.configured())]
    with contextlib.suppress(BadInput):
        paths.append(tiers.resolve(CUSTOM, path).base)
    found = (Base(Path(path)) for path in paths)
    return next((base for base in found if marker.read_id(base) == tier_id), None)
