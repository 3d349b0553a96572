"""Composing the whole library."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelshelf.bootstrap.read_only import check_mounts, database_url, is_new, remember_library, url_to_look
from modelshelf.domain.job_params import OldCopy, params_of
from modelshelf.domain.jobs import JobKind
from modelshelf.services.catalog.models import Library
from modelshelf.settings import Settings, load_settings
from modelshelf.store.known_bases import KnownBases

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelshelf.domain.known_places import KnownPlace
    from modelshelf.domain.ports import Clock, Hub
    from modelshelf.registry.registry import Registry
    from modelshelf.services.adopt.adopt import Adopter
    from modelshelf.services.adopt.everything import EverythingAdopter
    from modelshelf.services.catalog.leases import Leaser
    from modelshelf.services.jobs.runner import JobRunner
    from modelshelf.services.jobs.running import Running
    from modelshelf.services.lifecycle.choose_engine import EngineChooser
    from modelshelf.services.lifecycle.clean import Cleaner
    from modelshelf.services.lifecycle.find import Finder
    from modelshelf.services.lifecycle.move import Mover
    from modelshelf.services.lifecycle.promote import Promoter
    from modelshelf.services.lifecycle.pull import Puller
    from modelshelf.services.lifecycle.remove import Remover
    from modelshelf.services.lifecycle.unneeded import UnneededFiles
    from modelshelf.services.lifecycle.update import Updater
    from modelshelf.services.maintenance.dedupe import Deduper
    from modelshelf.services.maintenance.gc import Collector
    from modelshelf.services.maintenance.reconcile import Reconciler
    from modelshelf.services.maintenance.verify import Verifier
    from modelshelf.services.mirror.jobs import MirrorJobs
    from modelshelf.services.services import Services
    from modelshelf.services.serving.load import Loader
    from modelshelf.services.shelf import Shelf
    from modelshelf.services.space.delete_old_copy import OldCopyDeleter
    from modelshelf.services.space.history import HistoryKeeper
    from modelshelf.services.space.make_room import RoomMaker
    from modelshelf.services.space.tiers import TierService
    from modelshelf.services.views.keep import ViewKeeper

STREAMS = 8
"""Concurrent requests of one pull."""
_MIRROR_CONNECTIONS = 32
"""Connections to the hub that are kept for what clients of `/hf` ask for."""


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()  # noqa: TID251 - this is the clock that everybody else is handed

    def sleep(self, duration_s: float) -> None:
        """Wait."""
        time.sleep(duration_s)


def open_shelf(
    env_file: Path | None = None,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    read_only: bool = False,
    begins: bool = True,
) -> Shelf:
    """Return the whole library.

    Args:
        env_file: The settings file; see `load_settings`.
        settings: Settings, if they were already read.
        clock: Time; by default the machine's.
        read_only: Create nothing, neither a base nor a registry, for a plan that is only shown.
        begins: Begin the library where there is none; otherwise it is empty then, and read-only.

    Raises:
        BadInput: The settings are invalid.
        Unavailable: The primary base isn't mounted, or the registry can't be opened.
    """
    from modelshelf.services.shelf import Shelf

    settings = settings or load_settings(env_file)
    check_mounts(settings)
    read_only = read_only or (not begins and is_new(settings))
    parts = _make_parts(settings, clock or SystemClock(), read_only=read_only)
    services = _make_services(parts, settings)
    handlers: dict[JobKind, Callable[[Running], None]] = {
        JobKind.ADOPT: partial(_run, lambda: services.everything),
        JobKind.PULL: parts.puller.run,
        JobKind.MOVE: parts.mover.run,
        JobKind.UPDATE: partial(_run, lambda: services.updater),
        JobKind.RECONCILE: partial(_reconcile, parts, services),
        JobKind.GC: partial(_run, lambda: services.collector),
        JobKind.DEDUPE: partial(_run, lambda: services.deduper),
        JobKind.VERIFY: partial(_run, lambda: services.verifier),
        JobKind.MIRROR: partial(_run, lambda: services.mirror_jobs),
    }
    parts.runner.handle({kind: partial(_then_others, parts, run) for kind, run in handlers.items()})
    parts.runner.handle({JobKind.VIEW_SYNC: partial(_run, lambda: services.view_syncer)})
    parts.runner.handle({JobKind.DELETE_OLD_COPY: partial(_then_note, parts, parts.old_copies.run)})
    return Shelf(services)


class _RunsJobs(Protocol):
    """A service that carries out jobs of a kind."""

    def run(self, running: Running) -> None:
        """Carry one out."""


def _run(service: Callable[[], _RunsJobs], running: Running) -> None:
    service().run(running)


def _reconcile(parts: _Parts, services: Services, running: Running) -> None:
    """Reconcile, then merge what programs fetched over the links of a view."""
    from modelshelf.services.maintenance.merge_views import ViewMerger

    services.reconciler.run(running)
    ViewMerger(parts.registry, parts.library, parts.old_copies).run(running.progress)


def _then_others(parts: _Parts, run: Callable[[Running], None], running: Running) -> None:
    """Carry out a job, which may change where models are; then make views true, and note what the tiers hold."""
    run(running)
    parts.views.after_change(look=running.job.kind == JobKind.RECONCILE)
    parts.history.after_change()


def _then_note(parts: _Parts, run: Callable[[Running], None], running: Running) -> None:
    """Carry out a job that deletes an old copy, then note what the tiers hold, unless only a sidecar went."""
    run(running)
    if params_of(running.job, OldCopy).files:
        parts.history.after_change()


def _make_services(parts: _Parts, settings: Settings) -> Services:
    from modelshelf.services.catalog.adapters import Adapters
    from modelshelf.services.lifecycle.register import Registrar
    from modelshelf.services.lifecycle.remove import Remover
    from modelshelf.services.lifecycle.rename import Renamer
    from modelshelf.services.lifecycle.unneeded import UnneededFiles
    from modelshelf.services.services import Services

    registry, library, runner = parts.registry, parts.library, parts.runner
    remover = Remover(registry, library, parts.old_copies, Adapters(library), runner)
    unneeded = UnneededFiles(registry, library, parts.tiers, parts.old_copies, runner)
    return Services(
        registry=registry,
        library=library,
        tiers=parts.tiers,
        history=parts.history,
        registrar=Registrar(registry, parts.tiers, parts.room, parts.puller.copies, parts.hub),
        remover=remover,
        renamer=Renamer(registry, library, parts.tiers, parts.views),
        unneeded=unneeded,
        mover=parts.mover,
        hours=parts.puller.hours,
        leaser=parts.leaser,
        promoter=parts.promoter,
        runner=runner,
        clock=parts.clock,
        make_finder=partial(_make_finder, parts),
        make_cleaner=partial(_make_cleaner, registry, remover, unneeded),
        make_verifier=partial(_make_verifier, parts),
        make_updater=partial(_make_updater, parts),
        make_reconciler=partial(_make_reconciler, parts),
        make_adopter=partial(_make_adopter, parts),
        make_everything=_make_everything,
        make_loader=partial(_make_loader, parts),
        make_engine_chooser=partial(_make_engine_chooser, parts),
        make_collector=partial(_make_collector, parts),
        make_deduper=partial(_make_deduper, parts),
        make_mirror_jobs=partial(_make_mirror_jobs, parts, settings, remover),
        mirrors=settings.mirror.is_on,
        make_views=parts.views.views,
    )


def _make_finder(parts: _Parts) -> Finder:
    from modelshelf.services.lifecycle.find import Finder
    from modelshelf.services.space.fits import Fits

    return Finder(parts.hub, Fits(parts.room))


def _make_cleaner(registry: Registry, remover: Remover, unneeded: UnneededFiles) -> Cleaner:
    from modelshelf.services.lifecycle.clean import Cleaner

    return Cleaner(registry, remover, unneeded)


def _make_updater(parts: _Parts) -> Updater:
    from modelshelf.services.lifecycle.update import Updater

    return Updater(parts.registry, parts.library, parts.tiers, parts.hub, parts.puller, parts.clock)


def _make_reconciler(parts: _Parts) -> Reconciler:
    from modelshelf.services.maintenance.reconcile import Reconciler

    also = (parts.room.others, parts.promoter)
    return Reconciler(parts.registry, parts.library, parts.tiers, parts.clock, parts.runner, *also)


def _make_collector(parts: _Parts) -> Collector:
    from modelshelf.services.maintenance.gc import Collector

    return Collector(parts.registry, parts.library, parts.tiers, parts.clock, parts.runner)


def _make_deduper(parts: _Parts) -> Deduper:
    from modelshelf.services.maintenance.dedupe import Deduper

    return Deduper(parts.registry, parts.tiers, parts.runner)


def _make_mirror_jobs(parts: _Parts, settings: Settings, remover: Remover) -> MirrorJobs:
    from modelshelf.bootstrap.hub import make_hub
    from modelshelf.services.mirror.jobs import READ_SEGMENTS, MirrorJobs
    from modelshelf.services.mirror.share import Share
    from modelshelf.services.mirror.upstream import Upstream

    hub = make_hub(settings, _MIRROR_CONNECTIONS).with_token("")
    upstream = Upstream(lambda token: hub.with_token(token) if token else hub)
    puller = replace(parts.puller, hub=hub, most_segments=READ_SEGMENTS)
    share = Share(parts.registry, parts.tiers, remover, settings.mirror.share, upstream.has)
    return MirrorJobs(parts.registry, parts.tiers, puller, parts.runner, upstream, share)


def _make_loader(parts: _Parts) -> Loader:
    from modelshelf.services.catalog.adapters import Adapters
    from modelshelf.services.serving.load import Loader

    return Loader(parts.leaser, Adapters(parts.library), parts.settings.engines.allow_remote_code)


def _make_engine_chooser(parts: _Parts) -> EngineChooser:
    from modelshelf.engines.found import found_backends
    from modelshelf.services.lifecycle.choose_engine import EngineChooser

    return EngineChooser(parts.registry, parts.library, lambda: found_backends(parts.settings.engines))


def _make_adopter(parts: _Parts) -> Adopter:
    from modelshelf.services.adopt.adopt import Adopter
    from modelshelf.services.adopt.fresh_looks import FreshLooks
    from modelshelf.services.adopt.import_models import ModelImporter
    from modelshelf.services.adopt.link_old_path import Linker
    from modelshelf.services.adopt.other_programs import OtherPrograms
    from modelshelf.services.adopt.planner import AdoptPlanner

    registry, tiers, clock = parts.registry, parts.tiers, parts.clock
    reconciler = _make_reconciler(parts)
    importer = ModelImporter(registry, tiers, parts.room.admission, reconciler, parts.old_copies, clock)
    linker = Linker(tiers, importer, clock)
    others = OtherPrograms(parts.library, importer, parts.views.stand_ins())
    planner = AdoptPlanner(registry, parts.library, tiers, importer, linker, others, _known_places)
    also = (planner, parts.mover, parts.runner, FreshLooks(clock))
    return Adopter(registry, parts.library, tiers, importer, linker, others, *also)


def _make_everything(adopter: Adopter) -> EverythingAdopter:
    from modelshelf.services.adopt.everything import EverythingAdopter

    return EverythingAdopter(adopter, _known_places)


def _known_places() -> list[KnownPlace]:
    from modelshelf.domain.known_places import PLACE_VARIABLES, known_places
    from modelshelf.settings import variables

    return known_places(variables(PLACE_VARIABLES))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts behind the verbs."""

    clock: Clock
    registry: Registry
    runner: JobRunner
    tiers: TierService
    history: HistoryKeeper
    library: Library
    hub: Hub
    room: RoomMaker
    old_copies: OldCopyDeleter
    puller: Puller
    mover: Mover
    leaser: Leaser
    views: ViewKeeper
    promoter: Promoter
    settings: Settings


def _make_parts(settings: Settings, clock: Clock, *, read_only: bool) -> _Parts:
    from modelshelf.bootstrap.hub import make_hub
    from modelshelf.domain.watermarks import Watermarks
    from modelshelf.registry.registry import Registry
    from modelshelf.services.catalog.adapters import Adapters
    from modelshelf.services.catalog.leases import Leaser
    from modelshelf.services.jobs.process import this_process
    from modelshelf.services.lifecycle.move import Mover
    from modelshelf.services.lifecycle.promote import Promoter
    from modelshelf.services.space.delete_old_copy import OldCopyDeleter
    from modelshelf.services.space.history import HistoryKeeper
    from modelshelf.services.space.make_room import FullPolicy, RoomMaker
    from modelshelf.services.space.other_uses import OtherUses
    from modelshelf.services.space.reservations import Admission

    url, owner = url_to_look(settings) if read_only else database_url(settings), this_process()
    registry = Registry(url, read_only=read_only)
    known = KnownBases(settings.state_home)
    tiers = _open_tiers(registry, known, settings, read_only=read_only)
    runner = _make_runner(registry, tiers, owner, clock, settings)
    admission, hub = Admission(registry, tiers, owner, clock), make_hub(settings, STREAMS)
    library = Library(registry, settings.tiers, known)
    views, marks = _make_keeper(library, registry, clock, settings), Watermarks()
    old_copies, others = OldCopyDeleter(registry, library, clock, views), OtherUses(registry, library, tiers, clock)
    policy = FullPolicy(settings.on_full == "demote", settings.on_secondary_full == "remove-unpinned", marks)
    room = RoomMaker(
        registry, tiers, admission, library, old_copies, hub, clock, policy, runner, others, Adapters(library)
    )
    puller = _make_puller(settings, registry, tiers, room, hub, owner)
    mover = Mover(registry, library, tiers, room, clock)
    promoter = Promoter(registry, room, mover, clock, settings.promote, marks, runner)
    leaser = Leaser(registry, library, owner, promoter.on_use)
    moving = (room, old_copies, puller, mover, leaser, views, promoter)
    history = HistoryKeeper(registry, tiers, clock)
    return _Parts(clock, registry, runner, tiers, history, library, hub, *moving, settings)


def _make_puller(
    settings: Settings, registry: Registry, tiers: TierService, room: RoomMaker, hub: Hub, owner: str
) -> Puller:
    from modelshelf.bootstrap.current_limit import CurrentLimit
    from modelshelf.bootstrap.hub import make_peers
    from modelshelf.services.lifecycle.local_copies import LocalCopies
    from modelshelf.services.lifecycle.open_hours import OpenHours
    from modelshelf.services.lifecycle.pull import Puller
    from modelshelf.services.lifecycle.rate_limit import Throttle, part_of_limit

    clock, limit = room.clock, CurrentLimit(settings)
    throttle = Throttle(limit(), clock, partial(part_of_limit, registry, owner), limit)
    hours, peers = OpenHours(settings.download_hours, clock), make_peers(settings, STREAMS)
    return Puller(registry, tiers, room, LocalCopies(tiers, clock), hub, peers, clock, throttle, hours, STREAMS)


def _make_runner(registry: Registry, tiers: TierService, owner: str, clock: Clock, settings: Settings) -> JobRunner:
    from modelshelf.services.jobs.runner import JobRunner
    from modelshelf.services.jobs.turns import Turns
    from modelshelf.services.space.reach import Reach

    reach = Reach(registry, tiers)
    return JobRunner(registry, Turns(registry, owner, settings.job_rules, reach.slow_disk), clock, reach.why_not)


def _make_keeper(library: Library, registry: Registry, clock: Clock, settings: Settings) -> ViewKeeper:
    from modelshelf.domain.views import Unasked
    from modelshelf.services.views.keep import ViewKeeper
    from modelshelf.services.views.kept import Kept

    unasked = Unasked(settings.views if settings.use_symlinks else frozenset(), bool(settings.named_by))
    return ViewKeeper(library, clock, Kept(registry, settings.tiers, unasked))


def _open_tiers(registry: Registry, known: KnownBases, settings: Settings, *, read_only: bool) -> TierService:
    from modelshelf.services.space.tiers import TierService

    tiers = TierService(
        registry,
        settings.tiers,
        known,
        settings.warning_threshold,
        use_symlinks=settings.use_symlinks,
        require_mount=settings.require_mount,
    )
    if not read_only:
        tiers.open(settings.tiers.primary)
        remember_library(settings)
    return tiers


def _make_verifier(parts: _Parts) -> Verifier:
    from modelshelf.services.maintenance.repair import Repairer
    from modelshelf.services.maintenance.verify import Verifier
    from modelshelf.services.maintenance.verify_targets import Surveyor

    registry, library, tiers, clock = parts.registry, parts.library, parts.tiers, parts.clock
    puller, admission = parts.puller, parts.room.admission
    sources = puller.copies, puller.hub, puller.peers
    repairer = Repairer(registry, library, tiers, admission, *sources, clock, puller.throttle, puller.hours, STREAMS)
    return Verifier(registry, library, Surveyor(library, tiers), repairer, clock, parts.runner)
