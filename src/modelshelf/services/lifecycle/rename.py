"""Renaming: our name of a model changes, its files stay where they are."""

from __future__ import annotations

from pathlib import Path

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.models import State
from modelshelf.domain.names import ModelName
from modelshelf.errors import Conflict
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library
from modelshelf.services.lifecycle.pull import refresh_sidecar
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base
from modelshelf.store.tiers import sidecars


def rename(registry: Registry, library: Library, tiers: TierService, model_name: str, new_name: ModelName) -> None:
    """Give a model another name.

    **Crash:** the row comes first, then the new sidecar, then the old one goes; reconcile finishes.

    Raises:
        BadInput: Its tier's file system can't have such a name.
        NotFound: There is no such model.
        Conflict: The name is taken, or a job works on the model.
    """
    model = library.model(model_name)
    if model.row.job_state in UNFINISHED:
        raise Conflict(f"Job {model.row.job_id} is working on {model_name}.", hint=f"shelf cancel {model.row.job_id}")
    if model.state is not State.OFFLINE:
        tier = tiers.settings.resolve(model.row.cache_location, model.row.cache_path)
        tiers.check_storable(tier, model.row.hf_path, (), new_name)
    registry.rename(model.row.id, new_name)
    refresh_sidecar(registry, library.model(new_name))
    if model.state is not State.OFFLINE:
        sidecars.remove(Base(Path(model.base)), model.row.model_name)
