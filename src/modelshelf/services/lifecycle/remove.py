"""Removing a model: first the row, last the bytes, and only bytes that nothing else needs.

Deleting the row and creating the cleanup job, which deletes sidecar and bytes, is one transaction, so after a crash any
later command finishes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.domain.jobs import Job, JobKind
from modelshelf.domain.models import ModelRow
from modelshelf.domain.outcomes import Removed
from modelshelf.domain.plans import RemovalPlan
from modelshelf.errors import NotFound
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.adapters import Adapters
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.lifecycle.removal_look import RemovalLook, nothing
from modelshelf.services.space.delete_old_copy import OldCopyDeleter, old_copy, read_freed
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_there
from modelshelf.store.repos import delete
from modelshelf.store.tiers import marker, sidecars


@dataclass(frozen=True, slots=True)
class Remover:
    """Removes models from the library."""

    registry: Registry
    library: Library
    old_copies: OldCopyDeleter
    adapters: Adapters
    runner: JobRunner
    tiers: TierService

    def look(self, opened: Set[tuple[int, int]] | None = None) -> RemovalLook:
        """Return a look at what can be removed, for who asks about many models.

        Args:
            opened: What `open_files.opened` returned just now; None: look at every process for each model.
        """
        return RemovalLook(self.registry, self.library, self.old_copies, self.adapters, opened)

    def rows(self, model_names: Iterable[str]) -> list[ModelRow]:
        """Return models in the order in which they can be removed: a base model after its adapters.

        Raises:
            NotFound: There is no such model; no other name is suggested, because a wrong guess would be deleted.
        """
        rows = [self._row(name) for name in model_names]
        known = self.adapters.by_base_model() if len(rows) > 1 else {}
        return sorted(rows, key=lambda row: bool(self.adapters.needing(row, known)))

    def plan(self, row: ModelRow, *, delete_files: bool, gone: Collection[int] = ()) -> RemovalPlan:
        """Return what removing a model would delete: nothing without `delete_files`.

        Args:
            row: The model.
            delete_files: Whether its files would go.
            gone: Ids of models that are removed before it.

        Raises:
            Unavailable: Its tier is offline.
        """
        return self.look().plan(row, gone) if delete_files else nothing(row)

    def check(self, row: ModelRow, *, delete_files: bool, gone: Collection[int] = ()) -> None:
        """Raise unless a model can be removed now.

        Args:
            row: The model.
            delete_files: Whether its files would go.
            gone: Ids of models that are removed before it.

        Raises:
            Conflict: It is pinned or leased, or a job works on it; or its files would go and a program has them open,
                or registered adapters need them.
        """
        self.look().check(row, delete_files=delete_files, gone=gone)

    def folders_with(self, row: ModelRow) -> list[str]:
        """Return the folders of other programs that don't have a model any more once it is removed, by path."""
        return self.old_copies.views.folders_with(row.model_name, row.hf_path)

    def remove(self, model_name: str, *, delete_files: bool) -> Removed:
        """Forget a model, and delete its files if asked; return what that freed.

        What a move that stopped left on another tier goes as well.

        **Crash:** deleting the row adds the jobs that delete the files. There is none if there
        is no sidecar.

        Raises:
            NotFound, Conflict: See `check`.
            Unavailable: Its files would go and their tier is offline; nothing was changed. Or it is forgotten, and
                somebody opened its files in that instant: they go when that ends.
            Denied: Its files would go and their tier is read-only; nothing was changed.
        """
        self.runner.run_due(JobKind.DELETE_OLD_COPY)
        row = self._row(model_name)
        needed_by, folders = list(self.adapters.needing(row)), self.folders_with(row)
        plan, kept, deletions = self._forget(model_name, delete_files=delete_files)
        freed = sum((read_freed(self.runner.finish(job)) for job in deletions if delete_files), start=Freed())
        self.runner.run_due(JobKind.DELETE_OLD_COPY)  # only the sidecar; later if its drive is offline
        return Removed(model_name, plan, freed, kept, needed_by, folders)

    def _forget(self, model_name: str, *, delete_files: bool) -> tuple[RemovalPlan, str, list[Job]]:
        """Delete a model's row; return what goes, why some of it stays, and the jobs that delete it."""
        row = self._row(model_name)
        self.check(row, delete_files=delete_files)
        base = Base(Path(self.library.base_of(row)))
        plan = self.look().plan(row) if delete_files else nothing(row)
        files = self.library.files(row) if delete_files else ()
        kept = self.why_kept(row, plan) if delete_files else ""
        if row.commit_hash is None:
            return plan, kept, self.registry.delete_model(row.id)
        left = (base, *self._arriving(row, base))
        copies = [old_copy(self.library.tiers, one, row.hf_path, row.commit_hash, files) for one in left]
        return plan, kept, self.registry.delete_model(row.id, *copies)

    def _arriving(self, row: ModelRow, base: Base) -> Iterator[Base]:
        """Yield the other bases in which a move that stopped left a sidecar, which would bring the model back."""
        for other in self.tiers.online_bases():
            here = sidecars.of_repo(other, row.hf_path, row.model_name) if other != base else ()
            if any(one.model_name == row.model_name for one in here) and marker.is_writable(other):
                yield other

    def _row(self, model_name: str) -> ModelRow:
        try:
            return self.library.row(model_name)
        except NotFound as err:
            raise NotFound(err.detail, hint="shelf ls lists them.", model_name=model_name) from None

    def why_kept(self, row: ModelRow, plan: RemovalPlan, gone: Collection[int] = ()) -> str:
        """Return why some of a model's bytes stay if its files go, in sentences; empty if all go.

        Args:
            row: The model.
            plan: What goes.
            gone: Ids of models that are removed before it.
        """
        files, base = self.library.files(row), self.library.base_of(row)
        mine = {file.digest for file in files}
        sharing = {
            other.model_name: mine & {file.digest for file in self.library.files(other)}
            for other in self.registry.models(repo_id=row.hf_path)
            if other.id not in (row.id, *gone) and self.library.base_of(other) == base
        }
        names = [name for name, shared in sharing.items() if shared]
        why = [f"Files that {', '.join(names)} also uses stay."] if names else []
        repo, going = Base(Path(base)).repo(row.hf_path), {blob.rpartition("/")[2] for blob in plan.blobs}
        stays = mine - going - {digest for shared in sharing.values() for digest in shared}
        if plan.links and any(is_there(repo.blob(digest)) for digest in stays):
            why.append("Files that another snapshot of the repository has too stay.")
        if delete.has_other_names(plan):
            why.append("Some of its files have other hard links: their bytes are freed when those are deleted.")
        return " ".join(why)
