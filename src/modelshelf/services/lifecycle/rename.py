"""Renaming: our name of a model changes, its files stay where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.models import State
from modelshelf.domain.names import ModelName
from modelshelf.errors import Conflict
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library
from modelshelf.services.lifecycle.model_sidecar import refresh_sidecar
from modelshelf.services.space.tiers import TierService
from modelshelf.services.views.keep import ViewKeeper
from modelshelf.store.layout import Base
from modelshelf.store.tiers import sidecars


@dataclass(frozen=True, slots=True)
class Renamer:
    """Renames models."""

    registry: Registry
    library: Library
    tiers: TierService
    views: ViewKeeper

    def rename(self, model_name: str, new_name: ModelName) -> None:
        """Give a model another name.

        **Crash:** the row comes first, then the new sidecar, then the old one goes; reconcile finishes.

        Raises:
            BadInput: Its tier's file system can't have such a name.
            NotFound: There is no such model.
            Conflict: The name is taken, or a job works on the model.
        """
        model = self.library.model(model_name)
        row, is_offline = model.row, model.state is State.OFFLINE
        if row.job_state in UNFINISHED:
            raise Conflict(f"Job {row.job_id} is working on {model_name}.", hint=f"shelf cancel {row.job_id}")
        if not is_offline:
            tier = self.tiers.settings.resolve(row.cache_location, row.cache_path)
            self.tiers.check_storable(tier, row.hf_path, (), new_name)
        with self.views.renaming(row.model_name, new_name):
            self.registry.rename(row.id, new_name)
            refresh_sidecar(self.registry, self.library.model(new_name))
            if not is_offline:
                sidecars.remove(Base(Path(model.base)), row.model_name)
