"""Composing the whole library."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.bootstrap.read_only import check_mounts, database_url, remember_library, url_to_look
from modelshelf.domain.tiers import SECONDARY
from modelshelf.services.catalog.models import Library
from modelshelf.settings import Settings, load_settings
from modelshelf.store.known_bases import KnownBases

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Cause, Job
    from modelshelf.domain.ports import Clock, Hub
    from modelshelf.registry.registry import Registry
    from modelshelf.services.adopt.adopt import Adopter
    from modelshelf.services.catalog.leases import Leaser
    from modelshelf.services.jobs.runner import Handler, Running
    from modelshelf.services.lifecycle.move import Mover
    from modelshelf.services.lifecycle.pull import Puller
    from modelshelf.services.maintenance.reconcile import Reconciler
    from modelshelf.services.maintenance.verify import Verifier
    from modelshelf.services.shelf import Shelf
    from modelshelf.services.space.delete_old_copy import OldCopyDeleter
    from modelshelf.services.space.make_room import RoomMaker
    from modelshelf.services.space.tiers import TierService

STREAMS = 8
"""Requests side by side in one pull."""


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
) -> Shelf:
    """Return the whole library.

    Args:
        env_file: The settings file; see `load_settings`.
        settings: Settings that were read already.
        clock: Time; by default the machine's.
        read_only: Make nothing: no base, no registry, for a plan that is shown and not carried out.

    Raises:
        BadInput: The settings are wrong.
        Unavailable: The primary base is not mounted, or the registry cannot be opened.
    """
    from modelshelf.services.catalog.adapters import Adapters
    from modelshelf.services.jobs.runner import Jobs
    from modelshelf.services.lifecycle.reach import Reach
    from modelshelf.services.lifecycle.register import Registrar
    from modelshelf.services.lifecycle.remove import Remover
    from modelshelf.services.lifecycle.update import Updater
    from modelshelf.services.maintenance.dedupe import Deduper
    from modelshelf.services.maintenance.gc import Collector
    from modelshelf.services.maintenance.reconcile import Reconciler
    from modelshelf.services.serving.load import Loader
    from modelshelf.services.shelf import Shelf

    late = _Late()
    parts = _make_parts(settings or load_settings(env_file), clock or SystemClock(), late, read_only=read_only)
    registry, library = parts.registry, parts.library
    adapters = Adapters(library)
    reconciler = Reconciler(registry, library, parts.tiers, parts.clock)
    handlers: dict[str, Handler] = {}
    late.shelf = Shelf(
        registry=registry,
        library=library,
        tier_service=parts.tiers,
        admission=parts.room.admission,
        registrar=Registrar(registry, parts.tiers, parts.room, parts.hub),
        remover=Remover(registry, library, parts.old_copies, adapters),
        mover=parts.mover,
        verifier=_make_verifier(parts),
        updater=Updater(registry, library, parts.tiers, parts.hub, parts.puller, parts.clock),
        reconciler=reconciler,
        adopter=_make_adopter(parts, reconciler, late),
        leaser=parts.leaser,
        loader=Loader(parts.leaser, adapters),
        collector=Collector(registry, library, parts.tiers, parts.clock),
        deduper=Deduper(registry, parts.tiers),
        job_service=Jobs(registry, parts.owner, handlers, parts.clock, Reach(registry, parts.tiers).why_not),
        clock=parts.clock,
    )
    handlers |= _handlers_of(late.shelf, parts)
    return late.shelf


def _make_adopter(parts: _Parts, reconciler: Reconciler, late: _Late) -> Adopter:
    from modelshelf.services.adopt.adopt import Adopter
    from modelshelf.services.adopt.import_models import ModelImporter
    from modelshelf.services.adopt.link_old_path import Linker

    registry, tiers, clock = parts.registry, parts.tiers, parts.clock
    importer = ModelImporter(registry, tiers, parts.room.admission, reconciler, parts.old_copies, clock)
    linker = Linker(tiers, importer, clock)
    return Adopter(registry, parts.library, tiers, importer, linker, parts.mover, late.run_inside, late.tidy)


def _handlers_of(shelf: Shelf, parts: _Parts) -> dict[str, Handler]:
    """Return who carries out which kind of job."""
    from modelshelf.services.adopt.adopt import ADOPT
    from modelshelf.services.lifecycle.move import MOVE
    from modelshelf.services.lifecycle.register import PULL
    from modelshelf.services.lifecycle.update import UPDATE
    from modelshelf.services.maintenance.gc import DEDUPE, GC
    from modelshelf.services.maintenance.reconcile import RECONCILE
    from modelshelf.services.maintenance.verify import VERIFY
    from modelshelf.services.space.delete_old_copy import DELETE_OLD_COPY

    return {
        ADOPT: shelf.adopter.run,
        PULL: parts.puller.run,
        MOVE: parts.mover.run,
        DELETE_OLD_COPY: parts.old_copies.run,
        UPDATE: shelf.updater.run,
        RECONCILE: shelf.reconciler.run,
        GC: shelf.collector.run,
        DEDUPE: shelf.deduper.run,
        VERIFY: shelf.verifier.run,
    }


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the verbs are made of."""

    clock: Clock
    owner: str
    registry: Registry
    tiers: TierService
    library: Library
    hub: Hub
    room: RoomMaker
    old_copies: OldCopyDeleter
    puller: Puller
    mover: Mover
    leaser: Leaser


def _make_parts(settings: Settings, clock: Clock, late: _Late, *, read_only: bool) -> _Parts:
    from modelshelf import __version__
    from modelshelf.domain.eviction import Watermarks
    from modelshelf.hub.client import HubClient
    from modelshelf.registry.registry import Registry
    from modelshelf.services.catalog.leases import Leaser
    from modelshelf.services.jobs.process import this_process
    from modelshelf.services.lifecycle.move import Mover
    from modelshelf.services.lifecycle.promote import Promoter
    from modelshelf.services.lifecycle.pull import Puller
    from modelshelf.services.lifecycle.rate_limit import Throttle
    from modelshelf.services.space.delete_old_copy import OldCopyDeleter
    from modelshelf.services.space.make_room import FullPolicy, RoomMaker
    from modelshelf.services.space.reservations import Admission
    from modelshelf.services.space.tiers import TierService

    check_mounts(settings)
    url, owner = url_to_look(settings) if read_only else database_url(settings), this_process()
    registry = Registry(url, read_only=read_only)
    known = KnownBases(settings.state_home)
    tiers = TierService(
        registry,
        settings.tiers,
        known,
        settings.warning_threshold,
        use_symlinks=settings.use_symlinks,
        require_mount=settings.require_mount,
    )
    _begin(tiers, settings, read_only=read_only)
    admission = Admission(registry, tiers, owner, clock)
    hub = HubClient(settings.hf_endpoint, settings.hf_token, f"modelshelf/{__version__}", STREAMS, settings.network)
    library = Library(registry, settings.tiers, known)
    old_copies, marks = OldCopyDeleter(registry, library, clock), Watermarks()
    policy = FullPolicy(settings.on_full == "demote", settings.on_secondary_full == "remove-unpinned", marks)
    room = RoomMaker(registry, tiers, admission, library, old_copies, hub, clock, policy, late.demote, late.tidy)
    throttle = Throttle(settings.download_limit_bytes_per_s, clock)
    puller = Puller(registry, tiers, room, hub, clock, throttle, STREAMS)
    mover = Mover(registry, library, tiers, room, clock)
    promoter = Promoter(registry, room, mover, clock, settings.promote, marks, late.start_in_background)
    leaser = Leaser(registry, library, owner, promoter.on_use)
    return _Parts(clock, owner, registry, tiers, library, hub, room, old_copies, puller, mover, leaser)


def _begin(tiers: TierService, settings: Settings, *, read_only: bool) -> None:
    if not read_only:
        tiers.open(settings.tiers.primary)
        remember_library(settings)


def _make_verifier(parts: _Parts) -> Verifier:
    from modelshelf.services.maintenance.repair import Repairer
    from modelshelf.services.maintenance.verify import Verifier
    from modelshelf.services.maintenance.verify_targets import Surveyor

    registry, library, tiers, clock = parts.registry, parts.library, parts.tiers, parts.clock
    throttle, admission = parts.puller.throttle, parts.room.admission
    repairer = Repairer(registry, library, tiers, admission, parts.hub, clock, throttle, STREAMS)
    return Verifier(registry, library, Surveyor(library, tiers), repairer, clock)


class _Late:
    """The verbs that carry out jobs need the library, and the library needs them: they find it when they are called."""

    shelf: Shelf

    def demote(self, model_name: str, cause: Cause) -> None:
        """Move a model to the secondary, to make room."""
        shelf = self.shelf
        job = shelf.mover.enqueue(model_name, SECONDARY, None, keep_source=False, makes_room=True, cause=cause)
        shelf.finish(job)
        shelf.settle("delete_old_copy")

    def tidy(self) -> None:
        """Delete the old copies of models that left; what another thread or process is deleting is waited for."""
        self.shelf.settle("delete_old_copy")

    def run_inside(self, job: Job, outer: Running) -> None:
        """Carry out a job as a part of another one, whose progress it shows and with which it stops."""
        self.shelf.run_inside(job, outer)

    def start_in_background(self, job: Job) -> None:
        """Carry out a job behind whatever goes on."""
        self.shelf.start_in_background(job)
