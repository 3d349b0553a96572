"""Removing a model: the row first, the bytes last, and only bytes that nothing else needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.jobs import QUEUED, RUNNING
from modelshelf.domain.models import Model, ModelRow, State
from modelshelf.domain.plans import RemovalPlan
from modelshelf.errors import Conflict, Unavailable
from modelshelf.registry.queries import Registry
from modelshelf.services.library import Library
from modelshelf.services.retire import Retirer
from modelshelf.store import cards, removal
from modelshelf.store.fs import Freed
from modelshelf.store.layout import Base

EMPTY = RemovalPlan("", (), (), (), (), (), ())


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal did."""

    model_name: str
    plan: RemovalPlan
    freed: Freed
    """Measured file by file."""


@dataclass(frozen=True, slots=True)
class Remover:
    """Removes models from the library."""

    registry: Registry
    library: Library
    retirer: Retirer

    def plan(self, model_name: str) -> RemovalPlan:
        """Return what removing a model with its files would delete.

        Raises:
            NotFound: There is no such model.
            Unavailable: Its tier is offline.
        """
        return self._plan(self.library.model(model_name))

    def remove(self, model_name: str, *, delete_files: bool) -> Removed:
        """Forget a model, and with `delete_files` free what nothing else needs.

        **Crash:** after the row is gone the files are garbage that is found by `gc`; nothing points to them.

        Raises:
            NotFound: There is no such model.
            Conflict: A job works on it; or its files are to go and it is pinned, leased or open somewhere.
            Unavailable: Its files are to go and their tier is offline; nothing was changed.
        """
        model = self.library.model(model_name)
        self._check_idle(model.row)
        plan = self._plan(model) if delete_files else EMPTY
        if delete_files:
            self._check_free(model)
        base, row = Base(Path(model.base)), model.row
        files = self.library.files(row)
        self.registry.delete_model(row.id)
        if model.state is not State.OFFLINE:
            cards.remove(base, model_name)
        freed = Freed()
        if delete_files and row.commit_hash is not None:
            freed = self.retirer.retire(base, row.hf_path, row.commit_hash, files)
        return Removed(model_name, plan, freed)

    def _check_idle(self, row: ModelRow) -> None:
        if row.job_state in (QUEUED, RUNNING):
            raise Conflict(
                f"{row.model_name} is being worked on by job {row.job_id}.",
                hint=f"Wait for it, or end it: shelf cancel {row.job_id}",
                model_name=row.model_name,
                job_id=row.job_id,
            )

    def _check_free(self, model: Model) -> None:
        row = model.row
        if row.pinned:
            raise Conflict(
                f"{row.model_name} is pinned.", hint=f"shelf unpin {row.model_name}", model_name=row.model_name
            )
        if row.commit_hash is None:
            return
        base = Base(Path(model.base))
        users = self.retirer.users(base, row.hf_path, row.commit_hash, self.library.files(row))
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
        if model.row.commit_hash is None:
            return EMPTY
        base, row = Base(Path(model.base)), model.row
        assert row.commit_hash is not None
        keep = self.library.needed_paths(base, row.hf_path, row.commit_hash, but=row.id)
        return removal.plan_removal(base, row.hf_path, row.commit_hash, self.library.files(row), keep)
