"""The services of one library, by name: `bootstrap.shelf` composes them, and the faces use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.services.events.watch import Watcher
from modelshelf.services.mirror.lookup import HubFace

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Moved
    from modelshelf.domain.models import Model
    from modelshelf.domain.ports import Clock
    from modelshelf.registry.registry import Registry
    from modelshelf.services.adopt.adopt import Adopter
    from modelshelf.services.catalog.leases import Leaser
    from modelshelf.services.catalog.models import Library
    from modelshelf.services.jobs.runner import JobRunner
    from modelshelf.services.lifecycle.clean import Cleaner
    from modelshelf.services.lifecycle.find import Finder
    from modelshelf.services.lifecycle.move import Mover
    from modelshelf.services.lifecycle.open_hours import OpenHours
    from modelshelf.services.lifecycle.register import Registrar
    from modelshelf.services.lifecycle.remove import Remover
    from modelshelf.services.lifecycle.unneeded import UnneededFiles
    from modelshelf.services.lifecycle.update import Updater
    from modelshelf.services.maintenance.dedupe import Deduper
    from modelshelf.services.maintenance.gc import Collector
    from modelshelf.services.maintenance.reconcile import Reconciler
    from modelshelf.services.maintenance.verify import Verifier
    from modelshelf.services.serving.load import Loader
    from modelshelf.services.space.tiers import TierService


@dataclass(frozen=True, slots=True)
class Services:
    """The parts behind the verbs: plans and jobs for the command line and the server, which show and queue them."""

    registry: Registry
    library: Library
    tiers: TierService
    finder: Finder
    registrar: Registrar
    remover: Remover
    unneeded: UnneededFiles
    cleaner: Cleaner
    mover: Mover
    verifier: Verifier
    hours: OpenHours
    updater: Updater
    reconciler: Reconciler
    adopter: Adopter
    leaser: Leaser
    loader: Loader
    collector: Collector
    deduper: Deduper
    runner: JobRunner
    clock: Clock

    def check(self) -> None:
        """Raise unless the registry answers.

        Raises:
            Unavailable: It doesn't.
        """
        self.registry.reservations.all()

    def moves(self, model: Model) -> list[Moved]:
        """Return when and why a model was moved or evicted, as far as the registry remembers."""
        return self.library.moves(model.row)

    def watcher(self) -> Watcher:
        """Return the watcher that tells listeners of changes; not started."""
        return Watcher(self.registry, self.library, self.tiers)

    def hub_face(self) -> HubFace:
        """Return the look-ups for clients that speak the Hub's protocol."""
        return HubFace(self.tiers.online_bases, self.library.why_away)
