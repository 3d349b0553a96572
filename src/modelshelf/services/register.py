"""Registering: check everything that can be checked before anything is changed, then write the row."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from modelshelf.domain.jobs import Job
from modelshelf.domain.models import ModelRow, Registration, total_size
from modelshelf.domain.names import check_model_name, check_repo_id, check_revision
from modelshelf.domain.plans import plan_pull
from modelshelf.domain.ports import Hub
from modelshelf.errors import BadInput, NotFound, Unavailable
from modelshelf.registry.queries import Registry
from modelshelf.services.admission import Admission
from modelshelf.services.pull import missing_bytes, select
from modelshelf.services.tiers import TierService
from modelshelf.store import scan
from modelshelf.store.layout import Base

_log = logging.getLogger(__name__)
PULL = "pull"


@dataclass(frozen=True, slots=True)
class Registrar:
    """Adds models to the library."""

    registry: Registry
    tiers: TierService
    admission: Admission
    hub: Hub

    def register(self, wanted: Registration) -> ModelRow:
        """Add a model, pinned to the commit that its revision means now.

        With the hub out of reach the model is added all the same; its pull finds the commit later.

        Raises:
            BadInput: A name, a path or a pattern cannot be meant.
            Conflict: The name is taken.
            NotFound, Denied: The hub does not have the repository, or not for this token.
            OutOfSpace: It does not fit on its tier.
            Unavailable: The tier is offline.
        """
        check_model_name(wanted.model_name)
        check_repo_id(wanted.hf_path)
        check_revision(wanted.revision)
        tier = self.tiers.tiers.resolve(wanted.cache_location, wanted.cache_path)
        if self.registry.model(wanted.model_name) is not None:
            return self.registry.add_model(wanted, tier.base)
        tier_id = self.tiers.open(tier)
        try:
            commit_hash = self.hub.resolve(wanted.hf_path, wanted.revision)
            manifest = self.hub.list_files(wanted.hf_path, commit_hash)
        except Unavailable as err:
            _log.warning("hub_unreachable", extra={"detail": err.detail})
            return self.registry.add_model(wanted, tier.base)
        selected = select(manifest, wanted.allow_patterns)
        base = Base(self.tiers.path(tier))
        plan = plan_pull(wanted.hf_path, commit_hash, selected, scan.blob_sizes(base.repo(wanted.hf_path)))
        with self.admission.reserve(tier, tier_id, lambda: missing_bytes(base, plan)):
            row = self.registry.add_model(wanted, tier.base)
            self.registry.set_manifest(row, commit_hash, manifest)
        _log.info("registered", extra={"model_name": row.model_name, "size_bytes": total_size(selected)})
        return self._again(wanted.model_name)

    def enqueue_pull(self, model_name: str) -> Job:
        """Return the job that pulls a model, a new one where none is at it.

        Raises:
            NotFound: There is no such model.
        """
        return self.registry.enqueue(PULL, self._again(model_name))

    def _again(self, model_name: str) -> ModelRow:
        row = self.registry.model(model_name)
        if row is None:
            raise NotFound(f"There is no model {model_name}.", hint="shelf ls lists them.", model_name=model_name)
        return row


def registration(
    model_name: str,
    hf_path: str,
    to: str = "primary",
    *,
    revision: str = "main",
    allow_patterns: tuple[str, ...] = (),
) -> Registration:
    """Return what `shelf add NAME HF_PATH --to primary|secondary|PATH` asks for.

    Raises:
        BadInput: `to` is neither a tier nor a path.
    """
    return Registration(model_name, hf_path, *destination(to), revision, allow_patterns)


def destination(to: str) -> tuple[str, str | None]:
    """Return cache_location and cache_path of `primary`, `secondary`, or the path of a base.

    Raises:
        BadInput: It is neither a tier nor a path.
    """
    if to in ("primary", "secondary"):
        return to, None
    if "/" not in to:
        raise BadInput(f"{to!r} is no tier.", hint="Use primary, secondary, or the path of a base.", cache_location=to)
    return "custom", to
