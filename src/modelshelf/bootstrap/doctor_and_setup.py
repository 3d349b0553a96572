"""Composing what works without a usable library: the doctor, the first settings, the service."""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.bootstrap.in_force import registry_in_force
from modelshelf.bootstrap.parts import STREAMS
from modelshelf.bootstrap.read_only import database_url
from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.domain.names import BasePath
from modelshelf.domain.tiers import CUSTOM
from modelshelf.domain.tool_environment import hub_cache
from modelshelf.errors import BadInput, ShelfError, Unavailable
from modelshelf.setting_values import HUB_ENDPOINT
from modelshelf.settings import (
    Settings,
    check_settings,
    load_settings,
    load_what_is_right,
    places,
    tool_variables,
)
from modelshelf.store.known_bases import KnownBases, KnownLibraries
from modelshelf.store.layout import Base, user_unit_file
from modelshelf.store.mounts import mount_at, mount_of
from modelshelf.store.probe import is_file
from modelshelf.store.tiers import marker, registry_file
from modelshelf.store.tiers.governor import without_password

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf.domain.doctor_registry import RegistryFacts
    from modelshelf.services.doctor.doctor import Doctor
    from modelshelf.services.setup.init import FirstSetup
    from modelshelf.services.setup.systemd import UnitService
    from modelshelf.services.shelf import Shelf
    from modelshelf.services.space.forget_base import Forgetter

GREET_S = 5.0
"""How long the doctor waits for the hub, in seconds."""


def open_doctor(environ: Mapping[str, str] | None = None, *, mend: bool = False) -> Doctor:
    """Return the doctor; what can't be opened is among its findings.

    Nothing is created: asking about a library that was never used doesn't begin it.

    Args:
        environ: The environment; by default this process's.
        mend: Create the registry again if it is missing from a used primary base.
    """
    from modelshelf import __version__
    from modelshelf.domain.doctor_surroundings import HubFacts
    from modelshelf.hub.client import HubClient
    from modelshelf.services.doctor.bases import Bases, Examination, hung_bases
    from modelshelf.services.doctor.doctor import Doctor

    settings, problems = load_what_is_right(environ)
    url, path = registry_file.place(settings.database_url, settings.tiers.primary.base)
    known = KnownBases(settings.state_home)
    hung = hung_bases({tier.base for tier in settings.tiers.configured()} | known.load().keys())
    shelf, error = _open_if_there(settings, path, hung, mend=mend)
    hub = HubClient(settings.hf_endpoint, settings.hf_token, f"modelshelf/{__version__}", STREAMS, settings.network)
    shown_url = without_password(shelf.services.registry.url if shelf is not None else url)
    return Doctor(
        bases=Bases(settings.tiers, known, hung, shelf, shown_url, Examination(shelf)),
        environ=tool_variables(environ),
        problems=problems,
        registry=_registry_facts(url, path, error),
        hub=HubFacts(settings.hf_endpoint, is_mirror=settings.hf_endpoint != HUB_ENDPOINT),
        has_token=settings.hf_token is not None,
        greet=lambda: hub.greet(GREET_S),
        where={
            "settings": str(settings.env_file or "no file, only the environment and the defaults"),
            "registry": shown_url,
        },
    )


def _open_if_there(
    settings: Settings, path: Path | None, hung: Mapping[str, str], *, mend: bool
) -> tuple[Shelf | None, Exception | None]:
    """Return the library, or why it can't be opened; neither if there is none yet."""
    from sqlalchemy.exc import SQLAlchemyError

    base = Base(Path(settings.tiers.primary.base))
    known = KnownBases(settings.state_home).load().get(str(base.path))
    try:
        if hung:
            raise Unavailable(f"It wasn't opened: {' '.join(hung.values())}", hint="Repair the network mount first.")
        _, path = registry_in_force(settings)
        registry_file.check_place(path, settings.state_home)
        _check_online(base, known)
        if marker.read_id(base) is None or (path is not None and not mend and not is_file(path)):
            return None, None
        return open_shelf(settings=settings, read_only=not mend), None
    except (ShelfError, SQLAlchemyError, OSError, ImportError) as err:
        return None, err


def _check_online(base: Base, known_id: str | None) -> None:
    try:
        marker.check_online(base, known_id)
    except ShelfError as err:
        raise Unavailable(f"It could not be opened: {err.detail}", hint=err.hint) from err


def _registry_facts(url: str, path: Path | None, error: Exception | None) -> RegistryFacts:
    """Return what is known of a registry from outside.

    Args:
        url: Its address, which may hold a password.
        path: Its file; None for a server.
        error: Why it couldn't be opened; None if it could, or nobody tried.
    """
    from modelshelf.domain.doctor_registry import RegistryFacts

    shown = re.sub(r"//[^@/]*@", "//…@", url)
    if error is None:
        mount = mount_of(path.parent) if path is not None else None
        return RegistryFacts(shown, str(path or ""), mount, exists=path is None or is_file(path))
    mount = mount_at(path.parent) if path is not None else None  # by its name: it may hang
    facts = RegistryFacts(shown, str(path or ""), mount, exists=True)
    if isinstance(error, ShelfError):
        damaged = bool(error.fields.get("damaged")) and path is not None
        command = _rebuild(path) if damaged and path is not None else error.hint
        return replace(facts, trouble=error.detail, hint=command)
    return replace(facts, trouble=f"{shown} cannot be opened: {error}.", hint="")


def _rebuild(path: Path) -> str:
    """Return the command that sets a damaged registry and its log aside, and rebuilds it from the sidecars."""
    folder = shlex.quote(str(path.parent))
    return f"cd {folder} && mkdir damaged && mv {path.name}* damaged/ && shelf reconcile"


def first_setup(*, here: bool) -> FirstSetup:
    """Return the service that writes the first settings.

    Args:
        here: For the working directory, not for all of this user's shells.
    """
    from modelshelf.services.setup.init import FirstSetup

    found = places()
    env_file, tools_hub = found.here if here else found.ours, hub_cache(tool_variables())
    return FirstSetup(env_file, found.usual, check_settings, tuple(found.exported), _registered_in, tools_hub)


def _registered_in(primary: str) -> list[str]:
    """Return the repositories of the models in the library of a primary base; none if it has no registry to read."""
    from modelshelf.registry.fast_read import SqliteReader

    reader = SqliteReader(Base(Path(primary)).registry)
    return list(reader.names().values()) if reader.usable() else []


def unit_service() -> UnitService:
    """Return the service that keeps the server running: with this interpreter and the present settings.

    Raises:
        BadInput: The settings are invalid.
    """
    from modelshelf.domain.systemd_unit import UNIT_NAME, without_secrets
    from modelshelf.services.setup.systemd import UnitService

    settings = load_settings()
    plain, secrets = without_secrets(places().exported)
    folder = settings.env_file.parent if settings.env_file else Path.home()
    command = [sys.executable, "-P", "-m", "modelshelf", "serve"]  # -P: not from a folder of that name in `folder`
    path = user_unit_file(settings.config_home, UNIT_NAME)
    return UnitService(path, folder, command, plain, secrets)


def open_forgetter() -> Forgetter:
    """Return the service that forgets bases, even if the registry isn't reachable; nothing is created.

    Raises:
        BadInput: The settings are invalid.
    """
    from modelshelf.bootstrap.status import open_registry
    from modelshelf.services.space.forget_base import Forgetter

    settings = load_settings()
    known, libraries = KnownBases(settings.state_home), KnownLibraries(settings.state_home)
    url, _ = registry_file.place(settings.database_url, settings.tiers.primary.base)
    return Forgetter(settings.tiers, known, libraries, open_registry(settings)[0], url)


def take_links_along(forgotten: str) -> None:
    """Make views true after the models of a base were forgotten; what fails is left to the next change.

    Args:
        forgotten: That base. If it is the primary, nothing is done: opening the library would take it again.
    """
    settings = load_settings()
    if forgotten != settings.tiers.primary.base:
        with suppress(ShelfError), open_shelf(settings=settings, begins=False) as shelf:
            shelf.services.views.keep_true(look=False)


def reset_marker(path: str) -> None:
    """Mark a known base that lost its marker as a new, empty tier.

    Raises:
        BadInput: The settings are invalid, or that base isn't ours or has its marker.
    """
    from modelshelf.registry.registry import Registry

    settings = load_settings()
    known = KnownBases(settings.state_home)
    base_path = BasePath(path)
    locations = {tier.base: tier.location for tier in settings.tiers.configured()}
    is_known = base_path in locations or base_path in known.load()
    if not is_known and base_path not in _registered_bases(settings):
        raise BadInput(f"{base_path} isn't the base of a tier.", hint="shelf tiers lists them.", cache_path=base_path)
    base = Base(Path(base_path))
    if marker.read_id(base) is not None:
        raise BadInput(
            f"{base_path} has its marker: nothing to reset.",
            hint=f"To use another tier in its place: shelf forget {base_path}",
            cache_path=base_path,
        )
    tier_id = marker.reset_marker(base)
    known.remember(base, tier_id)
    registry = Registry(database_url(settings))
    registry.bases.remember(tier_id, locations.get(base_path, CUSTOM), base_path)
    registry.close()


def _registered_bases(settings: Settings) -> set[str]:
    """Return the bases in the registry; none if it can't be opened."""
    from modelshelf.registry.registry import Registry

    try:
        registry = Registry(database_url(settings))
    except ShelfError:
        return set()
    found = {*registry.bases.custom()} | set(registry.tier_ids())
    registry.close()
    return found
