"""The services of one library, by name: `bootstrap.shelf` composes them, and the faces use them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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


@dataclass(frozen=True)
class Services:
    """The parts behind the verbs: plans and jobs for the command line and the server, which show and queue them.

    Those of few commands are made when they are first asked for: importing all of them takes longer than most commands.
    """

    registry: Registry
    library: Library
    tiers: TierService
    history: HistoryKeeper
    registrar: Registrar
    remover: Remover
    renamer: Renamer
    unneeded: UnneededFiles
    mover: Mover
    hours: OpenHours
    leaser: Leaser
    promoter: Promoter
    runner: JobRunner
    clock: Clock
    make_finder: Callable[[], Finder]
    make_cleaner: Callable[[], Cleaner]
    make_verifier: Callable[[], Verifier]
    make_updater: Callable[[], Updater]
    make_reconciler: Callable[[], Reconciler]
    make_adopter: Callable[[], Adopter]
    make_everything: Callable[[Adopter], EverythingAdopter]
    make_loader: Callable[[], Loader]
    make_engine_chooser: Callable[[], EngineChooser]
    make_collector: Callable[[], Collector]
    make_deduper: Callable[[], Deduper]
    make_views: Callable[[], Views]
    make_mirror_jobs: Callable[[], MirrorJobs]
    mirrors: bool
    """Whether `/hf` fetches from the hub what isn't here."""

    @cached_property
    def finder(self) -> Finder:
        """Finds repositories on the hub, and says what fits."""
        return self.make_finder()

    @cached_property
    def cleaner(self) -> Cleaner:
        """Plans what could go."""
        return self.make_cleaner()

    @cached_property
    def verifier(self) -> Verifier:
        """Reads every byte."""
        return self.make_verifier()

    @cached_property
    def updater(self) -> Updater:
        """Brings models to newer commits."""
        return self.make_updater()

    @cached_property
    def reconciler(self) -> Reconciler:
        """Brings registry and disks together."""
        return self.make_reconciler()

    @cached_property
    def adopter(self) -> Adopter:
        """Takes in what other tools downloaded."""
        return self.make_adopter()

    @cached_property
    def everything(self) -> EverythingAdopter:
        """Takes in what is at every known place of this machine."""
        return self.make_everything(self.adopter)

    @cached_property
    def loader(self) -> Loader:
        """Loads models with transformers."""
        return self.make_loader()

    @cached_property
    def engine_chooser(self) -> EngineChooser:
        """Writes down which engine a person chose for a model."""
        return self.make_engine_chooser()

    @cached_property
    def collector(self) -> Collector:
        """Deletes what nothing references."""
        return self.make_collector()

    @cached_property
    def deduper(self) -> Deduper:
        """Lets identical blobs share their bytes."""
        return self.make_deduper()

    @cached_property
    def mirror_jobs(self) -> MirrorJobs:
        """Fetches what clients of `/hf` ask for."""
        return self.make_mirror_jobs()

    @cached_property
    def views(self) -> Views:
        """Keeps the folders that other programs read."""
        return self.make_views()

    @cached_property
    def view_syncer(self) -> ViewSyncer:
        """Makes views true as a job."""
        from modelshelf.services.views.sync import ViewSyncer

        return ViewSyncer(self.registry, self.runner, self.views)

    @cached_property
    def load_jobs(self) -> LoadJobs:
        """Keeps the jobs of loads; used in one event loop."""
        from modelshelf.services.serving.load_jobs import LoadJobs

        return LoadJobs(self.registry, self.runner.owner)

    @cached_property
    def steering(self) -> Steering:
        """Pauses, resumes, cancels and retries jobs."""
        from modelshelf.services.jobs.steering import Steering

        return Steering(self.registry)

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
