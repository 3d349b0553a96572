"""What the services are made of: each part is made when it is first asked for, with its imports."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from modelshelf.bootstrap.made_once import made_once
from modelshelf.services.catalog.models import Library
from modelshelf.services.services import Services

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.domain.ports import Clock
    from modelshelf.domain.watermarks import Watermarks
    from modelshelf.hub.client import HubClient
    from modelshelf.registry.registry import Registry
    from modelshelf.services.catalog.adapters import Adapters
    from modelshelf.services.catalog.leases import Leaser
    from modelshelf.services.lifecycle.choose_engine import EngineChooser
    from modelshelf.services.lifecycle.clean import Cleaner
    from modelshelf.services.lifecycle.find import Finder
    from modelshelf.services.lifecycle.local_copies import LocalCopies
    from modelshelf.services.lifecycle.move import Mover
    from modelshelf.services.lifecycle.open_hours import OpenHours
    from modelshelf.services.lifecycle.promote import Promoter
    from modelshelf.services.lifecycle.pull import Puller
    from modelshelf.services.lifecycle.rate_limit import Throttle
    from modelshelf.services.lifecycle.register import Registrar
    from modelshelf.services.lifecycle.remove import Remover
    from modelshelf.services.lifecycle.rename import Renamer
    from modelshelf.services.lifecycle.unneeded import UnneededFiles
    from modelshelf.services.lifecycle.update import Updater
    from modelshelf.services.maintenance.merge_views import ViewMerger
    from modelshelf.services.serving.load import Loader
    from modelshelf.services.serving.load_jobs import LoadJobs
    from modelshelf.services.space.delete_old_copy import OldCopyDeleter
    from modelshelf.services.space.history import HistoryKeeper
    from modelshelf.services.space.make_room import RoomMaker
    from modelshelf.services.space.other_uses import OtherUses
    from modelshelf.services.space.reservations import Admission
    from modelshelf.services.space.tiers import TierService
    from modelshelf.services.views.keep import ViewKeeper
    from modelshelf.settings import Settings
    from modelshelf.store.known_bases import KnownBases

STREAMS = 8
"""Concurrent requests of one pull."""


class Parts(Services):
    """What the services are made of, and those that most of the others need.

    Args:
        settings: The settings.
        clock: Time.
        registry: The registry, open.
        tiers: The tiers; the primary base is open.
        known: The bases that this machine knows.
    """

    def __init__(
        self, settings: Settings, clock: Clock, registry: Registry, tiers: TierService, known: KnownBases
    ) -> None:
        self.settings, self.clock, self.registry, self.tiers = settings, clock, registry, tiers
        self.library = Library(registry, settings.tiers, known)
        self.mirrors = settings.mirror.is_on

    @made_once
    def owner(self) -> str:
        """This process, as it holds jobs, leases and room."""
        from modelshelf.services.jobs.process import this_process

        return this_process()

    # --- bringing bytes ---

    @made_once
    def hub(self) -> HubClient:
        """The hub, with the user's token."""
        from modelshelf.bootstrap.hub import make_hub

        return make_hub(self.settings, STREAMS)

    @made_once
    def hours(self) -> OpenHours:
        from modelshelf.services.lifecycle.open_hours import OpenHours

        return OpenHours(self.settings.download_hours, self.clock)

    @made_once
    def throttle(self) -> Throttle:
        """This process's part of the rate limit: one for all that it fetches."""
        from modelshelf.bootstrap.current_limit import CurrentLimit
        from modelshelf.services.lifecycle.rate_limit import Throttle, part_of_limit

        limit = CurrentLimit(self.settings)
        return Throttle(limit(), self.clock, partial(part_of_limit, self.registry, self.owner), limit)

    @made_once
    def copies(self) -> LocalCopies:
        """What other tiers have of a repository."""
        from modelshelf.services.lifecycle.local_copies import LocalCopies

        return LocalCopies(self.tiers, self.clock)

    @made_once
    def peers(self) -> tuple[HubClient, ...]:
        """The LAN hubs."""
        from modelshelf.bootstrap.hub import make_peers

        return make_peers(self.settings, STREAMS)

    @made_once
    def puller(self) -> Puller:
        """Downloads models."""
        from modelshelf.services.lifecycle.pull import Puller

        sources = self.copies, self.hub, self.peers
        limits = self.clock, self.throttle, self.hours
        return Puller(self.registry, self.tiers, self.room, *sources, *limits, STREAMS)

    @made_once
    def finder(self) -> Finder:
        from modelshelf.services.lifecycle.find import Finder
        from modelshelf.services.space.fits import Fits

        return Finder(self.hub, Fits(self.room))

    @made_once
    def registrar(self) -> Registrar:
        from modelshelf.services.lifecycle.register import Registrar

        return Registrar(self.registry, self.tiers, self.room, self.copies, self.hub)

    @made_once
    def updater(self) -> Updater:
        from modelshelf.services.lifecycle.update import Updater

        return Updater(self.registry, self.library, self.tiers, self.hub, self.puller, self.clock)

    # --- room and places ---

    @made_once
    def history(self) -> HistoryKeeper:
        from modelshelf.services.space.history import HistoryKeeper

        return HistoryKeeper(self.registry, self.tiers, self.clock)

    @made_once
    def admission(self) -> Admission:
        """Reserves room."""
        from modelshelf.services.space.reservations import Admission

        return Admission(self.registry, self.tiers, self.owner, self.clock)

    @made_once
    def marks(self) -> Watermarks:
        """How full a tier may be before models leave it."""
        from modelshelf.domain.watermarks import Watermarks

        return Watermarks()

    @made_once
    def other_uses(self) -> OtherUses:
        """What programs read of the models without asking."""
        from modelshelf.services.space.other_uses import OtherUses

        return OtherUses(self.registry, self.library, self.tiers, self.clock)

    @made_once
    def old_copies(self) -> OldCopyDeleter:
        """Deletes copies that nothing needs any more."""
        from modelshelf.services.space.delete_old_copy import OldCopyDeleter

        return OldCopyDeleter(self.registry, self.library, self.clock, self.keeper)

    @made_once
    def room(self) -> RoomMaker:
        """Makes room on a full tier."""
        from modelshelf.services.space.make_room import FullPolicy, RoomMaker

        settings, more = self.settings, (self.runner, self.other_uses, self.adapters)
        policy = FullPolicy(settings.on_full == "demote", settings.on_secondary_full == "remove-unpinned", self.marks)
        places = self.registry, self.tiers, self.admission, self.library
        return RoomMaker(*places, self.old_copies, self.hub, self.clock, policy, *more)

    @made_once
    def mover(self) -> Mover:
        from modelshelf.services.lifecycle.move import Mover

        return Mover(self.registry, self.library, self.tiers, self.room, self.clock)

    @made_once
    def promoter(self) -> Promoter:
        from modelshelf.services.lifecycle.promote import Promoter

        rules = self.clock, self.settings.promote, self.marks
        return Promoter(self.registry, self.room, self.mover, *rules, self.runner)

    @made_once
    def keeper(self) -> ViewKeeper:
        """Makes views true after models changed."""
        from modelshelf.domain.views import Unasked
        from modelshelf.services.views.keep import ViewKeeper
        from modelshelf.services.views.kept import Kept

        settings = self.settings
        unasked = Unasked(settings.views if settings.use_symlinks else frozenset(), bool(settings.named_by))
        return ViewKeeper(self.library, self.clock, Kept(self.registry, settings.tiers, unasked))

    @made_once
    def view_merger(self) -> ViewMerger:
        """Merges what programs fetched over the links of a view."""
        from modelshelf.services.maintenance.merge_views import ViewMerger

        return ViewMerger(self.registry, self.library, self.old_copies)

    # --- models ---

    @made_once
    def adapters(self) -> Adapters:
        """Which models are adapters of which."""
        from modelshelf.services.catalog.adapters import Adapters

        return Adapters(self.library)

    @made_once
    def remover(self) -> Remover:
        from modelshelf.services.lifecycle.remove import Remover

        return Remover(self.registry, self.library, self.old_copies, self.adapters, self.runner, self.tiers)

    @made_once
    def renamer(self) -> Renamer:
        from modelshelf.services.lifecycle.rename import Renamer

        return Renamer(self.registry, self.library, self.tiers, self.keeper)

    @made_once
    def unneeded(self) -> UnneededFiles:
        from modelshelf.services.lifecycle.unneeded import UnneededFiles

        return UnneededFiles(self.registry, self.library, self.tiers, self.old_copies, self.runner)

    @made_once
    def cleaner(self) -> Cleaner:
        from modelshelf.services.lifecycle.clean import Cleaner

        return Cleaner(self.registry, self.remover, self.unneeded)

    # --- using them ---

    @made_once
    def leaser(self) -> Leaser:
        from modelshelf.services.catalog.leases import Leaser

        def on_use(model: Model) -> None:
            self.promoter.on_use(model)

        return Leaser(self.registry, self.library, self.owner, on_use)

    @made_once
    def loader(self) -> Loader:
        from modelshelf.services.serving.load import Loader

        return Loader(self.leaser, self.adapters, self.settings.engines.allow_remote_code)

    @made_once
    def load_jobs(self) -> LoadJobs:
        from modelshelf.services.serving.load_jobs import LoadJobs

        return LoadJobs(self.registry, self.owner)

    @made_once
    def engine_chooser(self) -> EngineChooser:
        from modelshelf.engines.found import found_backends
        from modelshelf.services.lifecycle.choose_engine import EngineChooser

        return EngineChooser(self.registry, self.library, lambda: found_backends(self.settings.engines))
