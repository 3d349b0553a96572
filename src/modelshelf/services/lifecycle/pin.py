"""Pinning: a person's wish that a model is never evicted."""

from __future__ import annotations

from modelshelf.domain.models import Model
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library
from modelshelf.services.lifecycle.model_sidecar import refresh_sidecar


def set_pin(registry: Registry, library: Library, model_name: str, *, pinned: bool, reason: str) -> Model:
    """Set whether a model may be evicted, in the registry and on its tier; return the model.

    Raises:
        NotFound: There is no such model.
    """
    registry.set_pin(library.row(model_name).id, pinned=pinned, reason=reason)
    model = library.model(model_name)
    refresh_sidecar(registry, model)
    return model
