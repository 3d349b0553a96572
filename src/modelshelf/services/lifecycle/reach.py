"""Which jobs this process can carry out: a job belongs to those who have the bases that it works on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.jobs import Job
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput
from modelshelf.registry.registry import Registry
from modelshelf.services.lifecycle.move import MOVE
from modelshelf.services.lifecycle.register import destination
from modelshelf.services.space.tiers import TierService
from modelshelf.store.probe import is_there


@dataclass(frozen=True, slots=True)
class Reach:
    """Tells the jobs of this process from those of others."""

    registry: Registry
    tiers: TierService

    def why_not(self, job: Job) -> str:
        """Return why this process cannot carry out a job now, in a sentence; empty where it can.

        A job whose parameters mean nothing is for whoever takes it: carrying it out says what is wrong with it.
        """
        params = _params(job)
        try:
            reasons = [self.tiers.why_offline(tier) for tier in self._tiers_of(job, params)]
        except BadInput as err:
            return err.detail
        path = Path(params.get("path", "/"))
        nowhere = f"There is no folder {path} here." if not is_there(path.parent) else ""
        return next(filter(None, reasons), nowhere)

    def _tiers_of(self, job: Job, params: Mapping[str, str]) -> Iterator[Tier]:
        tiers = self.tiers.tiers
        for row in self.registry.models(model_id=job.model_id) if job.model_id is not None else ():
            yield tiers.resolve(row.cache_location, row.cache_path)
        if job.kind == MOVE and "cache_location" in params:
            yield tiers.resolve(params["cache_location"], params.get("cache_path"))
        for where in filter(None, (params.get("tier"), params.get("to"))):
            own = [tier for tier in self.tiers.configured() if where in (tier.location, tier.base)]
            yield from own or [tiers.resolve(*destination(where))]


def _params(job: Job) -> dict[str, str]:
    """Return the parameters of a job that are texts."""
    with contextlib.suppress(ValueError):
        found = json.loads(job.params)
        if isinstance(found, dict):
            return {name: text for name, text in found.items() if isinstance(text, str)}
    return {}
