"""Taking in what code with `cache_dir=BASE` downloaded beside `hub`, so that all tools find it; a view leaves a link.

**Crash:** the bytes have second names in `hub`, and the model is registered, before the old names go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.adopt import Act, AdoptMode, AdoptPlan, Done, Order
from modelshelf.domain.adopt_inventory import Inventory, Origin
from modelshelf.domain.names import RepoId
from modelshelf.domain.tiers import Tier
from modelshelf.errors import ShelfError
from modelshelf.services.adopt.import_models import ModelImporter
from modelshelf.services.jobs.running import Running
from modelshelf.services.space.tiers import TierService
from modelshelf.store import locks
from modelshelf.store.adopt import inventory, strays
from modelshelf.store.layout import Base


@dataclass(frozen=True, slots=True)
class StrayTaker:
    """Takes in the models beside the `hub` of a base."""

    tiers: TierService
    importer: ModelImporter
    decide: Callable[[Inventory, Order], AdoptPlan]

    def bases(self) -> Iterator[Tier]:
        """Yield the tiers of the settings with something to take in; nothing is changed."""
        for tier in self.tiers.settings.configured():
            with contextlib.suppress(ShelfError, OSError):
                if strays.quiet(Base(Path(tier.base)), self.importer.clock.now()):
                    self.tiers.check_writable(tier)
                    yield tier

    def take(self, path: Path, location: str, running: Running, done: Done) -> None:
        """Take in what nobody is writing now: into `hub`, registered if every byte is right.

        Args:
            path: The base.
            location: Its tier.
            running: The job.
            done: Told what was done.
        """
        base, order = Base(path), Order(AdoptMode.LEAVE, str(path), location, str(path), location, merge=True)
        ready = set(strays.quiet(base, self.importer.clock.now()))
        done.left += self.importer.bring_strays(self._plan(order, ready, Origin.STRAY), running)
        new = self._plan(order, ready, Origin.CACHE).of(Act.REGISTER)
        names, troubles = self.importer.register(order, new, running)
        done.registered += names
        done.left += troubles
        whole = {adoption.found.repo for adoption in self._plan(order, ready, Origin.CACHE).of(Act.NONE)}
        for repo_id in whole - {adoption.found.repo for adoption in new if adoption.model_name not in names}:
            with locks.wait_lock(base.path, base.repo_lock(repo_id), self.importer.clock):
                strays.drop_brought(base, repo_id)
        strays.drop_empty_store(base, self.importer.clock.now())

    def _plan(self, order: Order, repo_ids: set[RepoId], kind: Origin) -> AdoptPlan:
        found = inventory.find(Path(order.base))
        models = tuple(model for model in found.models if model.kind is kind and model.repo in repo_ids)
        return self.decide(replace(found, models=models), order)
