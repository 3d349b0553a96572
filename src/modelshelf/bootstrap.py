"""THE composition root: settings in, a library out. Nobody else constructs adapters."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.names import check_base
from modelshelf.domain.tiers import CUSTOM
from modelshelf.errors import BadInput
from modelshelf.services.library import Library, environment
from modelshelf.settings import Settings, child_environment, load_settings
from modelshelf.store import tier as store_tier
from modelshelf.store.layout import Base
from modelshelf.store.tier import KnownBases

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.domain.ports import Clock, Reader
    from modelshelf.services.shelf import Shelf

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
    from modelshelf import __version__
    from modelshelf.hub.client import HubClient
    from modelshelf.registry.queries import Registry
    from modelshelf.services.admission import Admission
    from modelshelf.services.jobs import Jobs
    from modelshelf.services.lease import Leaser
    from modelshelf.services.load import Loader
    from modelshelf.services.move import MOVE, Mover
    from modelshelf.services.owner import this_process
    from modelshelf.services.pull import Puller
    from modelshelf.services.register import PULL, Registrar
    from modelshelf.services.remove import Remover
    from modelshelf.services.retire import RETIRE, Retirer
    from modelshelf.services.shelf import Shelf
    from modelshelf.services.throttle import Throttle
    from modelshelf.services.tiers import TierService

    settings = settings or load_settings(env_file)
    clock = clock or SystemClock()
    registry = Registry(_database_url(settings))
    known = KnownBases(settings.state_home)
    tiers = TierService(registry, settings.tiers, known, settings.warning_threshold)
    tiers.open(settings.tiers.primary)
    owner = this_process()
    admission = Admission(registry, tiers, owner)
    hub = HubClient(settings.hf_endpoint, settings.hf_token, f"modelshelf/{__version__}", STREAMS)
    library = Library(registry, settings.tiers, known)
    throttle = Throttle(settings.download_limit_bytes_per_s, clock)
    puller = Puller(registry, tiers, admission, hub, clock, throttle, STREAMS)
    mover = Mover(registry, library, tiers, admission, clock)
    leaser = Leaser(registry, library, owner, lambda model: None)
    retirer = Retirer(registry, library, clock)
    handlers = {PULL: puller.run, MOVE: mover.run, RETIRE: retirer.run}

    return Shelf(
        registry=registry,
        library=library,
        tier_service=tiers,
        admission=admission,
        registrar=Registrar(registry, tiers, admission, hub),
        remover=Remover(registry, library, retirer),
        mover=mover,
        leaser=leaser,
        loader=Loader(leaser),
        job_service=Jobs(registry, owner, handlers, clock),
        clock=clock,
    )


def open_library(env_file: Path | None = None) -> Library:
    """Return the library for looking only, without anything that is slow to import where that is possible.

    Raises:
        BadInput: The settings are wrong.
        Unavailable: The primary base is not mounted, or the registry cannot be opened.
    """
    settings = load_settings(env_file)
    known = KnownBases(settings.state_home)
    return Library(_reader(settings), settings.tiers, known)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a server needs beside the library."""

    host: str
    port: int
    api_key: str | None = field(repr=False)


def server_settings() -> ServerSettings:
    """Return where to listen.

    Raises:
        BadInput: The settings are wrong.
    """
    settings = load_settings()
    return ServerSettings(settings.host, settings.port, settings.api_key)


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
    if base_path not in locations and base_path not in known.load():
        raise BadInput(f"{base_path} is no base of a tier.", hint="shelf tiers lists them.", cache_path=base_path)
    base = Base(Path(base_path))
    if store_tier.read_id(base) is not None:
        raise BadInput(f"{base_path} has its marker: there is nothing to start afresh.", cache_path=base_path)
    tier_id = store_tier.start_afresh(base)
    known.remember(base, tier_id)
    registry = Registry(_database_url(settings))
    registry.remember_tier(tier_id, locations.get(base_path, CUSTOM), base_path)
    registry.close()


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


def _database_url(settings: Settings) -> str:
    """Return where the registry is; by default in the primary base, which is opened for it.

    A primary that was used before and is not mounted takes the registry with it: refused here, before an empty one
    is made in its place.
    """
    if settings.database_url:
        return settings.database_url
    base = Base(Path(settings.tiers.primary.base))
    store_tier.open_tier(base, KnownBases(settings.state_home), None)
    return f"sqlite:///{base.registry}"
