"""Removing a model: first the row, last the bytes, and only bytes that nothing else needs.

Deleting the row and creating the cleanup job, which deletes sidecar and bytes, is one transaction, so after a crash any
later command finishes it.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.jobs import RUNNING, Job, JobKind
from modelshelf.domain.models import Model, ModelRow, State
from modelshelf.domain.outcomes import Freed, Removed
from modelshelf.domain.plans import RemovalPlan
from modelshelf.errors import Conflict, Denied, NotFound, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.adapters import Adapters
from modelshelf.services.catalog.leases import holding_model
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.space.delete_old_copy import OldCopyDeleter, old_copy, read_freed
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_there
from modelshelf.store.repos import delete
from modelshelf.store.tiers import governor, marker


@dataclass(frozen=True, slots=True)
class Remover:
    """Removes models from the library."""

    registry: Registry
    library: Library
    old_copies: OldCopyDeleter
    adapters: Adapters
    runner: JobRunner

    def plan(self, model_name: str, *, delete_files: bool) -> RemovalPlan:
        """Return what removing a model would delete: nothing without `delete_files`.

        Raises:
            NotFound: There is no such model.
            Unavailable: Its tier is offline.
        """
        model = self._model(model_name)
        return self._plan(model) if delete_files else _nothing(model.row)

    def check(self, model_name: str, *, delete_files: bool, opened: Set[tuple[int, int]] | None = None) -> None:
        """Raise unless a model can be removed now.

        Args:
            model_name: The model.
            delete_files: Whether its files would go.
            opened: What `open_files.opened` returned just now; None: look at every process.

        Raises:
            NotFound: There is no such model.
            Conflict: It is pinned or leased, or a job works on it; or its files would go and a program has them open,
                or registered adapters need them.
        """
        model = self._model(model_name)
        self._check_idle(model.row)
        self._check_free(model)
        if delete_files:
            self._check_files(model, opened)

    def why_kept(self, model_name: str, plan: RemovalPlan) -> str:
        """Return why some of a model's bytes stay if its files go, in sentences; empty if all go."""
        return self._why_kept(self._model(model_name), plan)

    def remove(self, model_name: str, *, delete_files: bool) -> Removed:
        """Forget a model, and delete its files if asked; return what that freed.

        **Crash:** deleting the row adds the job that deletes the files. There is none if there
        is no sidecar.

        Raises:
            NotFound, Conflict: See `check`.
            Unavailable: Its files would go and their tier is offline; nothing was changed. Or it is forgotten, and
                somebody opened its files in that instant: they go when that ends.
            Denied: Its files would go and their tier is read-only; nothing was changed.
        """
        self.runner.run_due(JobKind.DELETE_OLD_COPY)
        needed_by = self.adapters.needing(self._model(model_name).row)
        plan, kept, job = self._forget(model_name, delete_files=delete_files)
        freed = read_freed(self.runner.finish(job)) if job is not None and delete_files else Freed()
        self.runner.run_due(JobKind.DELETE_OLD_COPY)  # only the sidecar; later if its drive is offline
        return Removed(model_name, plan, freed, kept, needed_by)

    def _forget(self, model_name: str, *, delete_files: bool) -> tuple[RemovalPlan, str, Job | None]:
        """Delete a model's row; return what goes, why some of it stays, and the job that deletes it."""
        self.check(model_name, delete_files=delete_files)
        model = self._model(model_name)
        plan = self._plan(model) if delete_files else _nothing(model.row)
        base, row = Base(Path(model.base)), model.row
        files = self.library.files(row) if delete_files else ()
        left = old_copy(self.library.tiers, base, row.hf_path, row.commit_hash, files)
        kept = self._why_kept(model, plan) if delete_files else ""
        return plan, kept, self.registry.delete_model(row.id, left if row.commit_hash is not None else None)

    def _model(self, model_name: str) -> Model:
        """Return a model; raises NotFound without suggesting another name, because a wrong guess would be deleted."""
        try:
            return self.library.model(model_name)
        except NotFound as err:
            raise NotFound(err.detail, hint="shelf ls lists them.", model_name=model_name) from None

    def _why_kept(self, model: Model, plan: RemovalPlan) -> str:
        row, files = model.row, self.library.files(model.row)
        mine = {file.digest for file in files}
        sharing = {
            other.model_name: mine & {file.digest for file in self.library.files(other)}
            for other in self.registry.models(repo_id=row.hf_path)
            if other.id != row.id and self.library.base_of(other) == model.base
        }
        names = [name for name, shared in sharing.items() if shared]
        why = [f"Files that {', '.join(names)} also uses stay."] if names else []
        repo, going = Base(Path(model.base)).repo(row.hf_path), {Path(blob).name for blob in plan.blobs}
        stays = mine - going - {digest for shared in sharing.values() for digest in shared}
        if plan.links and any(is_there(repo.blob(digest)) for digest in stays):
            why.append("Files that another snapshot of the repository has too stay.")
        if delete.has_other_names(plan):
            why.append("Some of its files have other hard links: their bytes are freed when those are deleted.")
        return " ".join(why)

    def _check_idle(self, row: ModelRow) -> None:
        if row.job_state == RUNNING:
            raise Conflict(
                f"Job {row.job_id} is working on {row.model_name}.",
                hint=f"Wait for it, or end it: shelf cancel {row.job_id}",
                model_name=row.model_name,
                job_id=row.job_id,
            )

    def _check_free(self, model: Model) -> None:
        row = model.row
        if row.pinned:
            hint = f"shelf unpin {row.model_name}"
            raise Conflict(f"{row.model_name} is pinned.", hint=hint, model_name=row.model_name)
        if leases := holding_model(self.registry, row.id):
            by_hand = [f"shelf lease --release {lease.id}" for lease in leases if not lease.owner]
            by_hand += [f"shelf unload {row.model_name}"] * any(lease.kind == "engine" for lease in leases)
            raise Conflict(
                f"{row.model_name} is used by {', '.join(sorted({lease.holder for lease in leases}))}.",
                hint=f"End them first ({'; '.join(by_hand)})" if by_hand else "End them first.",
                model_name=row.model_name,
                used_by=sorted({lease.holder for lease in leases}),
            )

    def _check_files(self, model: Model, opened: Set[tuple[int, int]] | None) -> None:
        row = model.row
        if needing := self.adapters.needing(row):
            raise Conflict(
                f"{row.model_name} is the base model of {', '.join(needing)}.",
                hint=f"Remove them first (shelf rm {needing[0]}), or leave the files: shelf rm without --files.",
                model_name=row.model_name,
                needed_by=needing,
            )
        if row.commit_hash is None:
            return
        base = Base(Path(model.base))
        users = self.old_copies.users(base, row.hf_path, row.commit_hash, self.library.files(row), opened)
        if users:
            raise Conflict(
                f"{row.model_name} is used by {', '.join(users)}.",
                hint="End them first, or leave the files: shelf rm without --files.",
                model_name=row.model_name,
                used_by=users,
            )

    def _plan(self, model: Model) -> RemovalPlan:
        if model.state is State.OFFLINE:
            raise Unavailable(model.detail, hint="Mount its drive, or leave the files where they are.")
        governor.check_ours(Base(Path(model.base)), self.registry.id, self.registry.url)
        if not marker.is_writable(Base(Path(model.base))):
            hint = "Mount it writable, or leave the files where they are."
            raise Denied(f"{model.base} is read-only here.", hint=hint, cache_path=model.base)
        if model.row.commit_hash is None:
            return _nothing(model.row)
        base, row = Base(Path(model.base)), model.row
        assert row.commit_hash is not None
        keep = self.library.needed_paths(base, row.hf_path, row.commit_hash, exclude_model_id=row.id)
        others = self.library.needed_digests(base, row.hf_path, row.commit_hash)
        return delete.plan_removal(base, row.hf_path, row.commit_hash, self.library.files(row), keep, others)


def _nothing(row: ModelRow) -> RemovalPlan:
    return RemovalPlan(row.hf_path, (), (), (), (), (), ())
