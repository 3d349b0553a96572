"""Updating: a newer commit of the revision that a model follows; the old snapshot serves until the new one is whole.

**Crash:** before the switch the model is at its old commit, and the next run finds the blobs that arrived; the switch
and the job that deletes the old snapshot are one transaction; after it the model is at the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.job_params import UpdateParams, params_of
from modelshelf.domain.jobs import Job, JobKind
from modelshelf.domain.made_up_commits import is_made_up
from modelshelf.domain.models import FileEntry, ModelRow, State, select_files, total_size
from modelshelf.domain.names import COMMIT_HASH, CommitHash
from modelshelf.domain.plans import UpdatePlan
from modelshelf.domain.ports import Clock, Hub
from modelshelf.errors import Conflict, NotFound, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.facts import weight_format_of
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.running import Running
from modelshelf.services.lifecycle.model_sidecar import sidecar_of
from modelshelf.services.lifecycle.pull import Puller, select
from modelshelf.services.space.delete_old_copy import old_copy
from modelshelf.services.space.tiers import TierService
from modelshelf.store import locks
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import sidecars

_OF_NO_HUB = "It came from another program's folder, and no hub is known to have it."
_OF_A_COMMIT = "It was registered at a commit, which never changes."


@dataclass(frozen=True, slots=True)
class Updater:
    """Updates models."""

    registry: Registry
    library: Library
    tiers: TierService
    hub: Hub
    puller: Puller
    clock: Clock

    def plan(self, model_name: str, *, keep_old: bool) -> UpdatePlan:
        """Return what an update would do now; the hub is asked, and nothing is changed.

        Raises:
            NotFound: There is no such model, or the hub no longer has its repository or revision.
            Denied: The repository is gated now, or the tier can't be written.
            Conflict: The model has no commit yet.
            BadInput: Its patterns match no file of the new commit.
            Unavailable: The hub isn't reachable, or the tier is offline.
        """
        model = self.library.model(model_name)
        row = model.row
        if model.state is State.OFFLINE:
            raise Unavailable(model.detail, hint="Mount its drive.", model_name=model_name)
        if row.commit_hash is None:
            raise Conflict(f"{model_name} was never downloaded.", hint=f"shelf pull {model_name}")
        tier = self.tiers.settings.resolve(row.cache_location, row.cache_path)
        self.tiers.check_writable(tier)
        old = tuple(self.library.files(row))
        same = UpdatePlan(row.model_name, row.hf_path, row.revision, row.commit_hash, row.commit_hash, old, old)
        if COMMIT_HASH.fullmatch(row.revision):
            return replace(same, note=_OF_NO_HUB if is_made_up(row.commit_hash) else _OF_A_COMMIT)
        try:
            new_commit = self.hub.resolve(row.hf_path, row.revision).commit_hash
        except NotFound:
            if is_made_up(row.commit_hash):
                return replace(same, note=_OF_NO_HUB)
            raise
        if new_commit == row.commit_hash:
            return UpdatePlan(row.model_name, row.hf_path, row.revision, row.commit_hash, new_commit, old, old)
        files = select(self.hub.list_files(row.hf_path, new_commit), row.allow_patterns)
        fetch = self.puller.plan(Base(self.tiers.path(tier)), row.hf_path, new_commit, files).fetch
        names = (row.model_name, row.hf_path, row.revision, row.commit_hash, new_commit)
        return UpdatePlan(*names, old, tuple(files), fetch, keep_old)

    def enqueue(self, plan: UpdatePlan) -> Job:
        """Return the job for a plan.

        Raises:
            NotFound: The model was removed in the meantime.
            Conflict: A different update of it is in progress.
        """
        row = self.library.row(plan.model_name)
        params = UpdateParams(plan.new_commit, plan.keep_old)
        job = self.registry.enqueue(JobKind.UPDATE, row, params.to_json())
        if params_of(job, UpdateParams) != params:
            raise Conflict(
                f"Job {job.id} updates {row.model_name} to another commit.",
                hint=f"shelf cancel {job.id}",
                job_id=job.id,
            )
        return job

    def run(self, running: Running) -> None:
        """Run an update job.

        Raises:
            NotFound: Its model was removed, or the hub has lost the commit.
            Unavailable: The hub isn't reachable, the tier is offline, or the model moved; the job waits.
            OutOfSpace, Denied, Corrupt, BadInput: See `Puller.pull`; the model stays at its old commit.
        """
        params, progress = params_of(running.job, UpdateParams), running.progress
        row = self.registry.model(running.job.model_name)
        if row is None or row.id != running.job.model_id:
            raise NotFound(f"{running.job.model_name} was removed.", model_name=running.job.model_name)
        commit_hash = params.commit_hash
        if row.commit_hash == commit_hash:  # an earlier run switched it
            self._write_sidecar(row, commit_hash)
            return
        progress.phase("resolving")
        manifest = self.hub.list_files(row.hf_path, commit_hash)
        files = select(manifest, row.allow_patterns)
        base = self.puller.bring(row, commit_hash, files, progress, running.reservations.append)
        progress.phase("linking")
        with locks.wait_lock(base.path, base.repo_lock(row.hf_path), self.clock):
            self.puller.lay_out(base, row, commit_hash, manifest)
            self._switch(base, row, commit_hash, manifest, keep_old=params.keep_old)
        self._write_sidecar(row, commit_hash)

    def _switch(
        self, base: Base, row: ModelRow, commit_hash: CommitHash, manifest: Sequence[FileEntry], *, keep_old: bool
    ) -> None:
        files = select_files(manifest, row.allow_patterns)
        left = old_copy(self.tiers.settings, base, row.hf_path, row.commit_hash, self.library.files(row))
        signature = scan.signature(base.repo(row.hf_path), commit_hash)
        old = None if keep_old or row.commit_hash is None else left
        written = weight_format_of(base, row.hf_path, commit_hash, files)
        taken = self.registry.placements.take_commit(
            row, commit_hash, manifest, total_size(files), signature, old, written
        )
        if not taken:
            raise Unavailable(f"{row.model_name} was moved or changed while it was updated; tried again.")

    def _write_sidecar(self, row: ModelRow, commit_hash: CommitHash) -> None:
        """Write the sidecar for the new row; after a crash reconcile does."""
        model = self.library.model(row.model_name)
        manifest = self.registry.files(row.hf_path, commit_hash)
        if model.row.commit_hash == commit_hash and model.state is not State.OFFLINE:
            sidecars.write(Base(Path(model.base)), sidecar_of(model.row, commit_hash, manifest))
