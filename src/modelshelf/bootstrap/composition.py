"""The whole library, composed: which service is made of which parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from modelshelf.bootstrap.made_once import is_made, made_once
from modelshelf.bootstrap.parts import STREAMS, Parts

if TYPE_CHECKING:
    from modelshelf.domain.known_places import KnownPlace
    from modelshelf.services.adopt.adopt import Adopter
    from modelshelf.services.adopt.everything import EverythingAdopter
    from modelshelf.services.adopt.import_models import ModelImporter
    from modelshelf.services.jobs.runner import JobRunner
    from modelshelf.services.jobs.steering import Steering
    from modelshelf.services.maintenance.dedupe import Deduper
    from modelshelf.services.maintenance.gc import Collector
    from modelshelf.services.maintenance.reconcile import Reconciler
    from modelshelf.services.maintenance.verify import Verifier
    from modelshelf.services.mirror.jobs import MirrorJobs
    from modelshelf.services.views.sync import ViewSyncer
    from modelshelf.services.views.views import Views

_MIRROR_CONNECTIONS = 32
"""Connections to the hub that are kept for what clients of `/hf` ask for."""


class Composition(Parts):
    """The whole library."""

    def close(self) -> None:
        """Stop work in the background, and close what is open."""
        if is_made(self, "runner"):
            self.runner.stopping.set()
            self.runner.background.stop()
        self.registry.close()

    # --- jobs ---

    @made_once
    def runner(self) -> JobRunner:
        from modelshelf.bootstrap.job_handlers import job_handlers
        from modelshelf.services.jobs.runner import JobRunner
        from modelshelf.services.jobs.turns import Turns
        from modelshelf.services.space.reach import Reach

        reach = Reach(self.registry, self.tiers)
        turns = Turns(self.registry, self.owner, self.settings.job_rules, reach.slow_disk)
        return JobRunner(self.registry, turns, self.clock, job_handlers(self), reach.why_not)

    @made_once
    def steering(self) -> Steering:
        from modelshelf.services.jobs.steering import Steering

        return Steering(self.registry)

    # --- upkeep ---

    @made_once
    def verifier(self) -> Verifier:
        from modelshelf.services.maintenance.repair import Repairer
        from modelshelf.services.maintenance.verify import Verifier
        from modelshelf.services.maintenance.verify_targets import Surveyor

        registry, library, tiers = self.registry, self.library, self.tiers
        sources, limits = (self.copies, self.hub, self.peers), (self.clock, self.throttle, self.hours)
        repairer = Repairer(registry, library, tiers, self.admission, *sources, *limits, STREAMS)
        return Verifier(registry, library, Surveyor(library, tiers), repairer, self.clock, self.runner)

    @made_once
    def reconciler(self) -> Reconciler:
        from modelshelf.services.maintenance.reconcile import Reconciler

        also = self.clock, self.runner, self.other_uses, self.promoter
        return Reconciler(self.registry, self.library, self.tiers, *also)

    @made_once
    def collector(self) -> Collector:
        from modelshelf.services.maintenance.gc import Collector

        return Collector(self.registry, self.library, self.tiers, self.clock, self.runner)

    @made_once
    def deduper(self) -> Deduper:
        from modelshelf.services.maintenance.dedupe import Deduper

        return Deduper(self.registry, self.tiers, self.runner)

    # --- views ---

    @made_once
    def views(self) -> Views:
        return self.keeper.views()

    @made_once
    def view_syncer(self) -> ViewSyncer:
        from modelshelf.services.views.sync import ViewSyncer

        return ViewSyncer(self.registry, self.runner, self.views)

    # --- what other tools have, and fetch ---

    @made_once
    def importer(self) -> ModelImporter:
        """Registers what lies on the disks."""
        from modelshelf.services.adopt.import_models import ModelImporter

        also = self.admission, self.reconciler, self.old_copies, self.clock
        return ModelImporter(self.registry, self.tiers, *also)

    @made_once
    def adopter(self) -> Adopter:
        from modelshelf.services.adopt.adopt import Adopter
        from modelshelf.services.adopt.fresh_looks import FreshLooks
        from modelshelf.services.adopt.link_old_path import Linker
        from modelshelf.services.adopt.other_programs import OtherPrograms
        from modelshelf.services.adopt.planner import AdoptPlanner

        registry, library, tiers, importer = self.registry, self.library, self.tiers, self.importer
        linker, others = Linker(tiers, importer, self.clock), OtherPrograms(library, importer, self.keeper.stand_ins())
        planner = AdoptPlanner(registry, library, tiers, importer, linker, others, _known_places)
        also = planner, self.mover, self.runner, FreshLooks(self.clock)
        return Adopter(registry, library, tiers, importer, linker, others, *also)

    @made_once
    def everything(self) -> EverythingAdopter:
        from modelshelf.services.adopt.everything import EverythingAdopter

        return EverythingAdopter(self.adopter, _known_places)

    @made_once
    def mirror_jobs(self) -> MirrorJobs:
        from modelshelf.bootstrap.hub import make_hub
        from modelshelf.services.mirror.jobs import READ_SEGMENTS, MirrorJobs
        from modelshelf.services.mirror.share import Share
        from modelshelf.services.mirror.upstream import Upstream

        hub = make_hub(self.settings, _MIRROR_CONNECTIONS).with_token("")
        upstream = Upstream(lambda token: hub.with_token(token) if token else hub)
        puller = replace(self.puller, hub=hub, most_segments=READ_SEGMENTS)
        share = Share(self.registry, self.tiers, self.remover, self.settings.mirror.share, upstream.has)
        return MirrorJobs(self.registry, self.tiers, puller, self.runner, upstream, share)


def _known_places() -> list[KnownPlace]:
    from modelshelf.domain.known_places import PLACE_VARIABLES, known_places
    from modelshelf.settings import variables

    return known_places(variables(PLACE_VARIABLES))
