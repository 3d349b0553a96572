"""Where the registry is, and composing readers without slow imports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.bootstrap.in_force import NOTES, registry_in_force
from modelshelf.errors import BadInput, Conflict, ShelfError
from modelshelf.services.catalog import shell_variables
from modelshelf.services.catalog.models import Library, environment
from modelshelf.settings import Settings, child_environment, load_settings, places
from modelshelf.store import fs, probe
from modelshelf.store.known_bases import KnownBases, KnownLibraries
from modelshelf.store.layout import Base
from modelshelf.store.mounts import check_outlives
from modelshelf.store.probe import is_file
from modelshelf.store.tiers import marker, registry_file

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.domain.ports import Reader
    from modelshelf.domain.tiers import Tiers
    from modelshelf.domain.unadopted import Unadopted
    from modelshelf.registry.empty_reader import EmptyReader
    from modelshelf.registry.fast_read import SqliteReader


def open_library(env_file: Path | None = None) -> Library:
    """Return the library for reading only, without slow imports where possible.

    Raises:
        BadInput: The settings are invalid.
        Unavailable: The primary base isn't mounted, or the registry can't be opened.
    """
    settings = load_settings(env_file)
    check_mounts(settings)
    return Library(_reader(settings), settings.tiers, KnownBases(settings.state_home))


def unadopted_models(registered: Iterable[str]) -> Unadopted:
    """Return other programs' unregistered models.

    Args:
        registered: The repositories of the registered models.
    """
    from modelshelf.domain.adopt import DEFAULT_PATH
    from modelshelf.services.setup.unadopted import unadopted

    return unadopted(places().usual, registered, DEFAULT_PATH)


def other_programs_models() -> str:
    """Return a folder in which another program keeps models of its own, with `~` for the home; empty without any."""
    from modelshelf.services.adopt.folder import ELSEWHERE, has_models

    for text in ELSEWHERE:
        place = Path(text).expanduser()
        with contextlib.suppress(ShelfError, OSError):
            if probe.is_folder(place) and has_models(place):
                return text
    return ""


@dataclass(frozen=True, slots=True)
class QuickLibrary:
    """What is known of a library without anything slow."""

    reader: SqliteReader | EmptyReader
    tiers: Tiers


def open_quick_library() -> QuickLibrary:
    """Return the library for completion: as `open_library`, or empty if that would be slow.

    Raises:
        ShelfError: As `open_library` does.
    """
    from modelshelf.registry.empty_reader import EmptyReader
    from modelshelf.registry.fast_read import SqliteReader

    settings = load_settings()
    path = _checked(settings)[1]
    reader = None if path is None else SqliteReader(path)
    return QuickLibrary(reader if reader is not None and reader.usable() else EmptyReader(), settings.tiers)


def hub_endpoint() -> str:
    """Return the address of the hub.

    Raises:
        BadInput: The settings are invalid.
    """
    return load_settings().hf_endpoint


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A server's settings beside the library's."""

    host: str
    port: int
    published_on: str | None
    api_key: str | None = field(repr=False)
    custom_roots: tuple[str, ...] | None
    log_as_json: bool
    uses_days: int
    secrets: tuple[str, ...] = field(repr=False)
    """Texts that no log may contain."""


def server_settings() -> ServerSettings:
    """Return where to listen.

    Raises:
        BadInput: The settings are invalid.
    """
    settings = load_settings()
    keys = (settings.hf_token, settings.api_key, settings.peer_key, settings.webhooks.secret)
    secrets = tuple(filter(None, (*keys, *settings.webhooks.urls)))
    return ServerSettings(
        settings.host,
        settings.port,
        settings.published_on,
        settings.api_key,
        settings.custom_roots,
        settings.log_as_json,
        settings.uses_days,
        secrets,
    )


def run_environment(tiers: Tiers, model: Model) -> dict[str, str]:
    """Return the whole environment for a program that is to find `model`."""
    return child_environment(environment(model, tiers))


def shell_to_find(name: str) -> dict[str, str | None]:
    """Return what a shell sets for other programs to find a model; None: unset it.

    It includes the primary base only if the library would be another one without it.

    Raises:
        NotFound, Conflict, Unavailable: As `Library.ready` does.
    """
    environ = child_environment({})
    variables = shell_variables.to_find(open_library().ready(name), environ)
    primary = load_settings().tiers.primary.base
    is_kept = load_settings(environ=child_environment(variables)).tiers.primary.base == primary
    return shell_variables.with_way_back(variables, environ, None if is_kept else primary)


def shell_back() -> dict[str, str | None]:
    """Return the variables that restore a shell; empty if nothing was changed.

    Raises:
        BadInput: Somebody changed the stored values.
    """
    return shell_variables.back(child_environment({}))


def _reader(settings: Settings) -> Reader:
    from modelshelf.registry.empty_reader import EmptyReader
    from modelshelf.registry.fast_read import SqliteReader

    url, path = _checked(settings)
    if path is not None and not is_file(path):
        return EmptyReader()
    if path is not None:
        reader = SqliteReader(path)
        if reader.usable():
            return reader
    from modelshelf.registry.registry import Registry

    return Registry(url, read_only=True)


def is_new(settings: Settings) -> bool:
    """Return whether the library doesn't exist yet.

    Raises:
        Conflict: This user has another one, and no setting names the new one.
        Unavailable, BadInput: As `url_to_look` does.
    """
    if not _is_new(settings, _checked(settings)[1]):
        return False
    _check_meant(settings, _other_libraries(settings))
    return True


def _is_new(settings: Settings, path: Path | None) -> bool:
    primary = Base(Path(settings.tiers.primary.base))
    was_used = str(primary.path) in KnownBases(settings.state_home).load() or marker.read_id(primary) is not None
    return path is not None and not is_file(path) and not was_used


def _other_libraries(settings: Settings) -> dict[str, str | None]:
    """Return this user's libraries but the one of the settings, by primary base, with their settings files."""
    known, primary = KnownLibraries(settings.state_home).load(), settings.tiers.primary.base
    return {base: env_file for base, env_file in known.items() if base != primary}


def _in_words(libraries: Mapping[str, str | None]) -> list[str]:
    return [f"{base} ({env_file})" if env_file else base for base, env_file in libraries.items()]


def _check_meant(settings: Settings, others: Mapping[str, str | None]) -> None:
    """Raise if a second library would be created by accident.

    Raises:
        Conflict: This user has one already, and no setting names the new one.
    """
    if others and not settings.named_by:
        raise Conflict(
            f"No setting names a library here, but you already have {' and '.join(_in_words(others))}.",
            hint=f"cd to the folder of its settings. For a second library set"
            f" PRIMARY_CACHE_PATH={settings.tiers.primary.base}",
            libraries=dict(others),
        )


def remember_library(settings: Settings) -> None:
    """Remember the library in use for commands without settings."""
    env_file = None if settings.named_by == "environment" else settings.env_file
    KnownLibraries(settings.state_home).remember(Base(Path(settings.tiers.primary.base)), env_file)


def check_mounts(settings: Settings) -> None:
    """Check the bases of the settings; see `store.mounts.check_outlives`.

    Raises:
        BadInput: One of them is a file.
    """
    for tier in settings.tiers.configured():
        if probe.is_file(Path(tier.base)):
            name = f"{tier.location.upper()}_CACHE_PATH"
            raise BadInput(f"The {tier.location} base {tier.base} is a file.", hint=f"Set {name} to a folder.")
    check_outlives([tier.base for tier in settings.tiers.configured()], require=settings.require_mount)


def url_to_look(settings: Settings) -> str:
    """Return where the registry is, or will be; nothing is created.

    A used primary that isn't mounted has the registry on it: refused here, before an empty one
    is created in its place. So is a SQLite file on a network mount.
    """
    return _checked(settings)[0]


def _checked(settings: Settings) -> tuple[str, Path | None]:
    url, path = registry_in_force(settings)
    registry_file.check_place(path, settings.state_home)
    if not settings.database_url:
        base = Base(Path(settings.tiers.primary.base))
        marker.check_online(base, KnownBases(settings.state_home).load().get(str(base.path)))
    return url, path


def database_url(settings: Settings) -> str:
    """Return where the registry is; by default in the primary base, which is opened for it. See `url_to_look`."""
    url, path = _checked(settings)
    if _is_new(settings, path):
        others = _other_libraries(settings)
        _check_meant(settings, others)
        if others:
            also = ", ".join(_in_words(others))
            NOTES.info("A new library starts in %s; you also have %s.", settings.tiers.primary.base, also)
    if not settings.database_url:
        marker.open_tier(Base(Path(settings.tiers.primary.base)), KnownBases(settings.state_home), None)
    registry_file.make_room_for(path, settings.state_home)
    if path is not None and not settings.database_url:
        with contextlib.suppress(ShelfError):  # in a base that can't be written, the registry is only read
            fs.touch(path.parent, path)  # SQLite gives its own files this one's owner and mode
    return url
