"""THE composition root: settings in, a library out. Nobody else constructs adapters."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.services.library import Library, environment
from modelshelf.settings import Settings, child_environment, load_settings
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
    from modelshelf.services.load import Loader
    from modelshelf.services.owner import this_process
    from modelshelf.services.pull import Puller
    from modelshelf.services.register import PULL, Registrar
    from modelshelf.services.remove import Remover
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
    return Shelf(
        registry=registry,
        library=library,
        tier_service=tiers,
        admission=admission,
        registrar=Registrar(registry, tiers, admission, hub),
        remover=Remover(registry, library, settings.tiers),
        loader=Loader(library, registry),
        job_service=Jobs(registry, owner, {PULL: puller.run}, clock),
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
    from modelshelf.store.tier import open_tier

    base = Base(Path(settings.tiers.primary.base))
    open_tier(base, KnownBases(settings.state_home), None)
    return f"sqlite:///{base.registry}"
