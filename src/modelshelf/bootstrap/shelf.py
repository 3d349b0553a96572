"""Opening the whole library."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from modelshelf.bootstrap.read_only import check_mounts, database_url, is_new, remember_library, url_to_look
from modelshelf.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from modelshelf.domain.ports import Clock
    from modelshelf.registry.registry import Registry
    from modelshelf.services.shelf import Shelf
    from modelshelf.services.space.tiers import TierService
    from modelshelf.store.known_bases import KnownBases


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
    from modelshelf.bootstrap.composition import Composition
    from modelshelf.registry.registry import Registry
    from modelshelf.services.shelf import Shelf
    from modelshelf.store.known_bases import KnownBases

    settings = settings or load_settings(env_file)
    check_mounts(settings)
    read_only = read_only or (not begins and is_new(settings))
    registry = Registry(url_to_look(settings) if read_only else database_url(settings), read_only=read_only)
    known = KnownBases(settings.state_home)
    tiers = _open_tiers(registry, known, settings, read_only=read_only)
    return Shelf(Composition(settings, clock or SystemClock(), registry, tiers, known))


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
