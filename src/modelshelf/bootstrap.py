"""THE composition root: settings in, a library out. Nobody else constructs adapters."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.names import check_base
from modelshelf.domain.tiers import CUSTOM, SECONDARY
from modelshelf.errors import BadInput, ShelfError, Unavailable
from modelshelf.services.library import Library, environment
from modelshelf.settings import (
    HUB_ENDPOINT,
    Settings,
    check_settings,
    child_environment,
    load_settings,
    load_what_is_right,
    places,
    tool_variables,
)
from modelshelf.store import fs, registry_file
from modelshelf.store import tier as store_tier
from modelshelf.store.layout import Base, user_unit_file
from modelshelf.store.mounts import mount_of
from modelshelf.store.tier import KnownBases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf.domain.jobs import Job
    from modelshelf.domain.models import Model
    from modelshelf.domain.ports import Clock, Hub, Reader
    from modelshelf.registry.queries import Registry
    from modelshelf.services.adopt import Adopter
    from modelshelf.services.doctor import Doctor
    from modelshelf.services.jobs import Handler, Running
    from modelshelf.services.lease import Leaser
    from modelshelf.services.move import Mover
    from modelshelf.services.pull import Puller
    from modelshelf.services.reconcile import Reconciler
    from modelshelf.services.retire import Retirer
    from modelshelf.services.room import RoomMaker
    from modelshelf.services.setup import FirstSetup
    from modelshelf.services.shelf import Shelf
    from modelshelf.services.tiers import TierService
    from modelshelf.services.unit import UnitService
    from modelshelf.services.verify import Verifier

_log = logging.getLogger(__name__)
STREAMS = 8
"""Requests side by side in one pull."""
GREET_S = 5.0
"""So long the doctor waits for the hub."""


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()  # noqa: TID251 - this is the clock that everybody else is handed

    def sleep(self, duration_s: float) -> None:
        """Wait."""
        time.sleep(duration_s)


def open_shelf(env_file: Path | None = None, *, settings: Settings | None = None, clock: Clock | None = None) -> Shelf:
    """Return the whole library.

    Args:
        env_file: The settings file; see `load_settings`.
        settings: Settings that were read already.
        clock: Time; by default the machine's.

    Raises:
        BadInput: The settings are wrong.
        Unavailable: The primary base is not mounted, or the registry cannot be opened.
    """
    from modelshelf.services.dedupe import Deduper
    from modelshelf.services.gc import Collector
    from modelshelf.services.jobs import Jobs
    from modelshelf.services.load import Loader
    from modelshelf.services.reconcile import Reconciler
    from modelshelf.services.register import Registrar
    from modelshelf.services.remove import Remover
    from modelshelf.services.shelf import Shelf
    from modelshelf.services.update import Updater

    late = _Late()
    parts = _make_parts(settings or load_settings(env_file), clock or SystemClock(), late)
    registry, library = parts.registry, parts.library
    reconciler = Reconciler(registry, library, parts.tiers, parts.clock)
    handlers: dict[str, Handler] = {}
    late.shelf = Shelf(
        registry=registry,
        library=library,
        tier_service=parts.tiers,
        admission=parts.room.admission,
        registrar=Registrar(registry, parts.tiers, parts.room, parts.hub),
        remover=Remover(registry, library, parts.retirer),
        mover=parts.mover,
        verifier=_make_verifier(parts),
        updater=Updater(registry, library, parts.tiers, parts.hub, parts.puller, parts.clock),
        reconciler=reconciler,
        adopter=_make_adopter(parts, reconciler, late),
        leaser=parts.leaser,
        loader=Loader(parts.leaser),
        collector=Collector(registry, library, parts.tiers, parts.clock),
        deduper=Deduper(registry, parts.tiers),
        job_service=Jobs(registry, parts.owner, handlers, parts.clock),
        clock=parts.clock,
    )
    handlers |= _handlers_of(late.shelf, parts)
    return late.shelf


def open_doctor(environ: Mapping[str, str] | None = None) -> Doctor:
    """Return who says why something does not work; what cannot be opened is among what it says.

    Nothing is made: a library that was never used is not begun by asking about it.

    Args:
        environ: The environment; by default this process's.
    """
    from modelshelf import __version__
    from modelshelf.domain.doctor import HubFacts
    from modelshelf.hub.client import HubClient
    from modelshelf.services.doctor import Doctor, hung_bases, registry_facts

    settings, problems = load_what_is_right(environ)
    url, path = _registry_place(settings)
    known = KnownBases(settings.state_home)
    hung = hung_bases({tier.base for tier in settings.tiers.configured()} | known.load().keys())
    shelf, error = _open_if_there(settings, path, hung)
    hub = HubClient(settings.hf_endpoint, settings.hf_token, f"modelshelf/{__version__}", STREAMS)
    return Doctor(
        tiers=settings.tiers,
        known=known,
        environ=tool_variables(environ),
        problems=problems,
        registry=registry_facts(url, path, error),
        hub=HubFacts(settings.hf_endpoint, is_mirror=settings.hf_endpoint != HUB_ENDPOINT),
        has_token=settings.hf_token is not None,
        greet=lambda: hub.greet(GREET_S),
        shelf=shelf,
        hung=hung,
    )


def _open_if_there(
    settings: Settings, path: Path | None, hung: Mapping[str, str]
) -> tuple[Shelf | None, Exception | None]:
    """Return the library, or why it cannot be opened; neither where there is none yet."""
    from sqlalchemy.exc import SQLAlchemyError

    base = Base(Path(settings.tiers.primary.base))
    known = KnownBases(settings.state_home).load().get(str(base.path))
    try:
        if hung:
            raise Unavailable(f"It was not asked: {' '.join(hung.values())}", hint="Look after the share first.")
        registry_file.check_place(path, settings.state_home)
        reason = store_tier.why_offline(base, known)
        if reason:
            raise Unavailable(f"It could not be opened: {reason}", hint="sudo mount -a")
        if store_tier.read_id(base) is None or (path is not None and not path.exists()):
            return None, None
        return open_shelf(settings=settings), None
    except (ShelfError, SQLAlchemyError, OSError, ImportError) as err:
        return None, err


def _make_adopter(parts: _Parts, reconciler: Reconciler, late: _Late) -> Adopter:
    from modelshelf.services.adopt import Adopter
    from modelshelf.services.intake import Intake
    from modelshelf.services.relink import Linker

    registry, tiers, clock = parts.registry, parts.tiers, parts.clock
    intake = Intake(registry, tiers, parts.room.admission, reconciler, parts.retirer, clock)
    linker = Linker(tiers, intake, clock)
    return Adopter(registry, parts.library, tiers, intake, linker, parts.mover, late.run_inside, late.tidy)


def _handlers_of(shelf: Shelf, parts: _Parts) -> dict[str, Handler]:
    """Return who carries out which kind of job."""
    from modelshelf.services.adopt import ADOPT
    from modelshelf.services.gc import DEDUPE, GC
    from modelshelf.services.move import MOVE
    from modelshelf.services.reconcile import RECONCILE
    from modelshelf.services.register import PULL
    from modelshelf.services.retire import RETIRE
    from modelshelf.services.update import UPDATE
    from modelshelf.services.verify import VERIFY

    return {
        ADOPT: shelf.adopter.run,
        PULL: parts.puller.run,
        MOVE: parts.mover.run,
        RETIRE: parts.retirer.run,
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
    retirer: Retirer
    puller: Puller
    mover: Mover
    leaser: Leaser


def _make_parts(settings: Settings, clock: Clock, late: _Late) -> _Parts:
    from modelshelf import __version__
    from modelshelf.domain.eviction import Watermarks
    from modelshelf.hub.client import HubClient
    from modelshelf.registry.queries import Registry
    from modelshelf.services.admission import Admission
    from modelshelf.services.lease import Leaser
    from modelshelf.services.move import Mover
    from modelshelf.services.owner import this_process
    from modelshelf.services.promote import Promoter
    from modelshelf.services.pull import Puller
    from modelshelf.services.retire import Retirer
    from modelshelf.services.room import FullPolicy, RoomMaker
    from modelshelf.services.throttle import Throttle
    from modelshelf.services.tiers import TierService

    _check_mounts(settings)
    registry, owner = Registry(_database_url(settings)), this_process()
    known = KnownBases(settings.state_home)
    tiers = TierService(registry, settings.tiers, known, settings.warning_threshold, settings.use_symlinks)
    tiers.open(settings.tiers.primary)
    admission = Admission(registry, tiers, owner, clock)
    hub = HubClient(settings.hf_endpoint, settings.hf_token, f"modelshelf/{__version__}", STREAMS)
    library = Library(registry, settings.tiers, known)
    retirer, marks = Retirer(registry, library, clock), Watermarks()
    policy = FullPolicy(settings.on_full == "demote", settings.on_secondary_full == "remove-unpinned", marks)
    room = RoomMaker(registry, tiers, admission, library, retirer, hub, clock, policy, late.demote, late.tidy)
    throttle = Throttle(settings.download_limit_bytes_per_s, clock)
    puller = Puller(registry, tiers, room, hub, clock, throttle, STREAMS)
    mover = Mover(registry, library, tiers, room, clock)
    promoter = Promoter(registry, room, mover, clock, settings.promote, marks, late.start_behind)
    leaser = Leaser(registry, library, owner, promoter.on_use)
    return _Parts(clock, owner, registry, tiers, library, hub, room, retirer, puller, mover, leaser)


def _make_verifier(parts: _Parts) -> Verifier:
    from modelshelf.services.repair import Repairer
    from modelshelf.services.survey import Surveyor
    from modelshelf.services.verify import Verifier

    registry, library, tiers, clock = parts.registry, parts.library, parts.tiers, parts.clock
    throttle, admission = parts.puller.throttle, parts.room.admission
    repairer = Repairer(registry, library, tiers, admission, parts.hub, clock, throttle, STREAMS)
    return Verifier(registry, library, Surveyor(library, tiers), repairer, clock)


class _Late:
    """The verbs that carry out jobs need the library, and the library needs them: they find it when they are called."""

    shelf: Shelf

    def demote(self, model_name: str) -> None:
        """Move a model to the secondary."""
        self.shelf.move(model_name, SECONDARY)

    def tidy(self) -> None:
        """Delete the old copies of models that left."""
        self.shelf.run_due("retire")

    def run_inside(self, job: Job, outer: Running) -> None:
        """Carry out a job as a part of another one, whose progress it shows and with which it stops."""
        self.shelf.run_inside(job, outer)

    def start_behind(self, job: Job) -> None:
        """Carry out a job behind whatever goes on."""
        self.shelf.start_behind(job)


def open_library(env_file: Path | None = None) -> Library:
    """Return the library for looking only, without anything that is slow to import where that is possible.

    Raises:
        BadInput: The settings are wrong.
        Unavailable: The primary base is not mounted, or the registry cannot be opened.
    """
    settings = load_settings(env_file)
    _check_mounts(settings)
    known = KnownBases(settings.state_home)
    return Library(_reader(settings), settings.tiers, known)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a server needs beside the library."""

    host: str
    port: int
    api_key: str | None = field(repr=False)
    log_as_json: bool
    secrets: tuple[str, ...] = field(repr=False)
    """What no log may hold."""


def server_settings() -> ServerSettings:
    """Return where to listen.

    Raises:
        BadInput: The settings are wrong.
    """
    settings = load_settings()
    secrets = tuple(secret for secret in (settings.hf_token, settings.api_key) if secret)
    return ServerSettings(settings.host, settings.port, settings.api_key, settings.log_as_json, secrets)


def first_setup(*, here: bool) -> FirstSetup:
    """Return who writes the first settings.

    Args:
        here: Into the working directory, not for all of this user's shells.
    """
    from modelshelf.services.setup import FirstSetup

    found = places()
    return FirstSetup(found.here if here else found.ours, found.usual, check_settings, tuple(found.exported))


def unit_service() -> UnitService:
    """Return who leaves the server running: with this interpreter, and the settings that are read here.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.domain.unit import UNIT_NAME, without_secrets
    from modelshelf.services.unit import UnitService

    settings = load_settings()
    plain, secrets = without_secrets(places().exported)
    folder = settings.env_file.parent if settings.env_file else Path.home()
    command = [sys.executable, "-P", "-m", "modelshelf", "serve"]  # -P: not from a folder of that name in `folder`
    path = user_unit_file(settings.config_home, UNIT_NAME)
    return UnitService(path, folder, command, plain, secrets)


def start_afresh(path: str) -> None:
    """Take a known base that lost its marker as a new, empty tier.

    Raises:
        BadInput: The settings are wrong, or that base is none of ours or has its marker.
    """
    from modelshelf.registry.queries import Registry

    settings = load_settings()
    known = KnownBases(settings.state_home)
    base_path = check_base(path)
    locations = {tier.base: tier.location for tier in settings.tiers.configured()}
    is_known = base_path in locations or base_path in known.load()
    if not is_known and base_path not in _registered_bases(settings):
        raise BadInput(f"{base_path} is no base of a tier.", hint="shelf tiers lists them.", cache_path=base_path)
    base = Base(Path(base_path))
    if store_tier.read_id(base) is not None:
        raise BadInput(f"{base_path} has its marker: there is nothing to start afresh.", cache_path=base_path)
    tier_id = store_tier.start_afresh(base)
    known.remember(base, tier_id)
    registry = Registry(_database_url(settings))
    registry.remember_tier(tier_id, locations.get(base_path, CUSTOM), base_path)
    registry.close()


def _registered_bases(settings: Settings) -> set[str]:
    """Return the bases that the registry knows; none where it cannot be opened."""
    from modelshelf.registry.queries import Registry

    try:
        registry = Registry(_database_url(settings))
    except ShelfError:
        return set()
    found = {row.cache_path for row in registry.models() if row.cache_location == CUSTOM} | set(registry.tier_ids())
    registry.close()
    return found


def run_environment(library: Library, model: Model) -> dict[str, str]:
    """Return the whole environment of a program that is to find `model`."""
    return child_environment(environment(model, library.tiers))


def _reader(settings: Settings) -> Reader:
    from modelshelf.registry.fast_read import SqliteReader

    url = _database_url(settings)
    if url.startswith("sqlite:///"):
        reader = SqliteReader(Path(url.removeprefix("sqlite:///")))
        if reader.usable():
            return reader
    from modelshelf.registry.queries import Registry

    return Registry(url)


def _check_mounts(settings: Settings) -> None:
    """Warn of a base that lies on a container's own layer, or refuse it, before anything is written there.

    Raises:
        BadInput: It does, and SHELF_REQUIRE_MOUNT is set.
    """
    if settings.require_mount is False:
        return
    lost = [tier.base for tier in settings.tiers.configured() if mount_of(Path(tier.base)).is_container_layer]
    if not lost:
        return
    detail = f"{' and '.join(lost)}: on the container's own layer, so that every model vanishes with the container."
    hint = f"Mount a folder of the host there: -v /path/on/the/host:{lost[0]}"
    if settings.require_mount:
        raise BadInput(detail, hint=hint, cache_path=lost[0])
    _log.error("%s %s", detail, hint)


def _database_url(settings: Settings) -> str:
    """Return where the registry is; by default in the primary base, which is opened for it.

    A primary that was used before and is not mounted takes the registry with it: refused here, before an empty one
    is made in its place. So is a SQLite file on a share.
    """
    url, path = _registry_place(settings)
    registry_file.check_place(path, settings.state_home)
    if not settings.database_url:
        store_tier.open_tier(Base(Path(settings.tiers.primary.base)), KnownBases(settings.state_home), None)
    registry_file.make_room_for(path, settings.state_home)
    if path is not None and not settings.database_url:
        with contextlib.suppress(ShelfError):  # of a base that cannot be written the registry is read
            fs.touch(path)  # SQLite gives its own files the owner and the mode of this one
    return url


def _registry_place(settings: Settings) -> tuple[str, Path | None]:
    return registry_file.place(settings.database_url, settings.tiers.primary.base)
