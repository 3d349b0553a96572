"""The sidecar of a model: what its tier says of it, made from the registry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from modelshelf.domain.models import FileEntry, Model, ModelRow, State
from modelshelf.domain.names import BasePath, CommitHash
from modelshelf.errors import Denied, OutOfSpace
from modelshelf.registry.registry import Registry
from modelshelf.store.layout import Base
from modelshelf.store.tiers import sidecars
from modelshelf.store.tiers.marker import is_writable
from modelshelf.store.tiers.sidecars import Sidecar

_log = logging.getLogger(__name__)


def sidecar_of(
    row: ModelRow, commit_hash: CommitHash, manifest: Sequence[FileEntry], arriving_from: BasePath | None = None
) -> Sidecar:
    """Return the sidecar of a model that is, or will be, on a tier."""
    return Sidecar(
        model_name=row.model_name,
        hf_path=row.hf_path,
        revision=row.revision,
        commit_hash=commit_hash,
        allow_patterns=row.allow_patterns,
        pinned=row.pinned,
        pin_reason=row.pin_reason,
        files=tuple(manifest),
        arriving_from=arriving_from,
        mirrored=row.mirrored,
    )


def refresh_sidecar(registry: Registry, model: Model) -> None:
    """Write a whole model's sidecar from the registry; one that can't be written is left."""
    row, base = model.row, Base(Path(model.base))
    if row.complete and row.commit_hash is not None and model.state is not State.OFFLINE and is_writable(base):
        try:
            sidecars.write(base, sidecar_of(row, row.commit_hash, registry.files(row.hf_path, row.commit_hash)))
        except (Denied, OutOfSpace) as err:  # the registry has it: reconcile writes the sidecar once there is room
            _log.warning("sidecar_left", extra={"model": row.model_name, "detail": err.detail})
