"""Removing a model: the row first, the bytes last, and only bytes that nothing else needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.models import FileEntry, Model, ModelRow, State, select_files
from modelshelf.domain.plans import RemovalPlan
from modelshelf.domain.tiers import Tiers
from modelshelf.errors import Conflict, Unavailable
from modelshelf.registry.queries import Registry
from modelshelf.services.library import Library
from modelshelf.store import removal
from modelshelf.store.fs import Freed
from modelshelf.store.layout import Base

EMPTY = RemovalPlan((), (), (), (), (), ())


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
    tiers: Tiers

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
            Conflict: A job works on it.
            Unavailable: Its files are to go and their tier is offline; nothing was changed.
        """
        model = self.library.model(model_name)
        self._check_idle(model.row)
        plan = self._plan(model) if delete_files else EMPTY
        self.registry.delete_model(model.row.id)
        freed = removal.execute(Base(Path(model.base)), plan)
        return Removed(model_name, plan, freed)

    def _check_idle(self, row: ModelRow) -> None:
        if row.job_state in UNFINISHED and row.job_state != "waiting":
            raise Conflict(
                f"{row.model_name} is being worked on by job {row.job_id}.",
                hint=f"Wait for it, or end it: shelf cancel {row.job_id}",
                model_name=row.model_name,
                job_id=row.job_id,
            )

    def _plan(self, model: Model) -> RemovalPlan:
        if model.state is State.OFFLINE:
            raise Unavailable(model.detail, hint="Mount its drive, or leave the files where they are.")
        if model.row.commit_hash is None:
            return EMPTY
        base = Base(Path(model.base))
        keep = {file.path for other in self._neighbours(model) for file in self._files(other)}
        repo = base.repo(model.row.hf_path)
        return removal.plan_removal(base, repo, model.row.commit_hash, self._files(model.row), keep)

    def _neighbours(self, model: Model) -> list[ModelRow]:
        """Return the other models of the same commit in the same base."""
        found = []
        for other in self.registry.models():
            same = (other.hf_path, other.commit_hash) == (model.row.hf_path, model.row.commit_hash)
            if same and other.id != model.row.id and self._base(other) == model.base:
                found.append(other)
        return found

    def _base(self, row: ModelRow) -> str:
        return self.tiers.resolve(row.cache_location, row.cache_path).base

    def _files(self, row: ModelRow) -> list[FileEntry]:
        assert row.commit_hash is not None
        return select_files(self.registry.files(row.hf_path, row.commit_hash), row.allow_patterns)
