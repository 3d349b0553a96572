"""The services of one library, by name: `bootstrap.composition` composes them, and the faces use them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Moved
    from modelshelf.domain.models import Model
    from modelshelf.domain.ports import Clock
    from modelshelf.registry.registry import Registry
    from modelshelf.services.adopt.adopt import Adopter
    from modelshelf.services.adopt.everything import EverythingAdopter
    from modelshelf.services.catalog.leases import Leaser
    from modelshelf.services.catalog.models import Library
    from modelshelf.services.events.watch import Engines, Rates, Watch, Watcher
    from modelshelf.services.jobs.runner import JobRunner
    from modelshelf.services.jobs.steering import Steering
    from modelshelf.services.lifecycle.choose_engine import EngineChooser
    from modelshelf.services.lifecycle.clean import Cleaner
    from modelshelf.services.lifecycle.find import Finder
    from modelshelf.services.lifecycle.move import Mover
    from modelshelf.services.lifecycle.open_hours import OpenHours
    from modelshelf.services.lifecycle.promote import Promoter
    from modelshelf.services.lifecycle.register import Registrar
    from modelshelf.services.lifecycle.remove import Remover
    from modelshelf.services.lifecycle.rename import Renamer
    from modelshelf.services.lifecycle.unneeded import UnneededFiles
    from modelshelf.services.lifecycle.update import Updater
    from modelshelf.services.maintenance.dedupe import Deduper
    from modelshelf.services.maintenance.gc import Collector
    from modelshelf.services.maintenance.reconcile import Reconciler
    from modelshelf.services.maintenance.verify import Verifier
    from modelshelf.services.mirror.face import Face
    from modelshelf.services.mirror.jobs import MirrorJobs
    from modelshelf.services.serving.load import Loader
    from modelshelf.services.serving.load_jobs import LoadJobs
    from modelshelf.services.space.history import HistoryKeeper
    from modelshelf.services.space.tiers import TierService
    from modelshelf.services.views.sync import ViewSyncer
    from modelshelf.services.views.views import Views


class Services(ABC):
    """The parts behind the verbs: plans and jobs for the command line and the server, which show and queue them.

    Each is made when it is first asked for: importing all of them takes longer than most commands.
    """

    clock: Clock
    registry: Registry
    library: Library
    """Which models there are, and their states."""
    tiers: TierService
    """What the disks hold."""
    history: HistoryKeeper
    """What they held."""
    runner: JobRunner
    """Runs jobs."""
    steering: Steering
    """Pauses, resumes, cancels and retries jobs."""
    finder: Finder
    """Finds repositories on the hub, and says what fits."""
    registrar: Registrar
    """Adds models."""
    hours: OpenHours
    """When downloads may run."""
    mover: Mover
    """Moves models between tiers."""
    promoter: Promoter
    """Brings a model that is used to the fast tier."""
    updater: Updater
    """Brings models to newer commits."""
    remover: Remover
    """Removes models, with their files or without."""
    renamer: Renamer
    unneeded: UnneededFiles
    """What no model needs of its repository."""
    cleaner: Cleaner
    """Plans what could go."""
    leaser: Leaser
    """Holds models while they are used."""
    loader: Loader
    """Loads models with transformers."""
    load_jobs: LoadJobs
    """Keeps the jobs of loads; used in one event loop."""
    engine_chooser: EngineChooser
    """Writes down which engine a person chose for a model."""
    verifier: Verifier
    """Reads every byte."""
    reconciler: Reconciler
    """Brings registry and disks together."""
    collector: Collector
    """Deletes what nothing references."""
    deduper: Deduper
    """Lets identical blobs share their bytes."""
    adopter: Adopter
    """Takes in what other tools downloaded."""
    everything: EverythingAdopter
    """Takes in what is at every known place of this machine."""
    views: Views
    """Keeps the folders that other programs read."""
    view_syncer: ViewSyncer
    """Makes views true as a job."""
    mirrors: bool
    """Whether `/hf` fetches from the hub what isn't here."""
    mirror_jobs: MirrorJobs
    """Fetches what clients of `/hf` ask for."""

    @abstractmethod
    def close(self) -> None:
        """Stop work in the background, and close what is open."""

    def check(self) -> None:
        """Raise unless the registry answers.

        Raises:
            Unavailable: It doesn't.
        """
        self.registry.reservations.all()

    def moves(self, model: Model) -> list[Moved]:
        """Return when and why a model was moved or evicted, as far as the registry remembers."""
        return self.library.moves(model.row)

    def watch(self) -> Watch:
        """Return what reads changes for one listener in this process."""
        from modelshelf.services.events.watch import Watch

        return Watch(self.registry, self.library, self.tiers, self.history)

    def watcher(self, engines: Engines = dict, rates: Rates = dict) -> Watcher:
        """Return the watcher that tells listeners of changes, and of the engines of this process; not started."""
        from modelshelf.services.events.watch import Watch, Watcher

        return Watcher(Watch(self.registry, self.library, self.tiers, self.history, engines, rates))

    def hub_face(self) -> Face:
        """Return the look-ups for clients that speak the Hub's protocol."""
        from modelshelf.services.mirror.lookup import HubFace

        here = HubFace(self.tiers.online_bases, self.library.why_away)
        if not self.mirrors:
            return here
        from modelshelf.services.mirror.mirrored import MirroredRepos
        from modelshelf.services.mirror.pull_through import PullThrough

        return PullThrough(here, self.mirror_jobs.upstream, self.mirror_jobs, MirroredRepos(self.registry))
