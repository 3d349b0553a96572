"""Which registry is used: that of the settings, or the one that the primary base already has."""

from __future__ import annotations

import logging
from pathlib import Path

from modelshelf.domain.tiers import PRIMARY
from modelshelf.errors import Unavailable
from modelshelf.registry.fast_read import library_id, role_of
from modelshelf.settings import Settings
from modelshelf.store.known_bases import KnownLibraries
from modelshelf.store.layout import Base
from modelshelf.store.tiers import governor, marker, registry_file
from modelshelf.store.tiers.governor import Governor

NOTES = logging.getLogger("modelshelf.notes")
"""What a person should know beside the answer; the command prints it on stderr."""


def registry_in_force(settings: Settings) -> tuple[str, Path | None]:
    """Return the address of the registry in use, and its file if it is one; nothing is created.

    If the settings name another one than the primary base's marker, the marker's is used. A server that a marker
    names is never asked, because whoever writes a marker would choose where this process connects to.

    Raises:
        Unavailable: The primary base has a registry that can't be used from here.
    """
    url, path = registry_file.place(settings.database_url, settings.tiers.primary.base)
    base = Base(Path(settings.tiers.primary.base))
    named = governor.read(base)
    if named is None or named.is_at(base, url) or _id_at(url, path) == named.id:
        return url, path
    theirs = named.file(base)
    if theirs is not None and library_id(theirs) == named.id:
        _check_role(settings, base, theirs)
        NOTES.info("%s is kept by the registry %s, which is used; the settings name another.", base.path, theirs)
        return f"sqlite:///{theirs}", theirs
    raise _out_of_reach(base, named)


def _id_at(url: str, path: Path | None) -> str:
    """Return the id of the registry in the settings; empty if there is none yet."""
    if path is not None:
        return library_id(path)
    from modelshelf.registry.registry import Registry

    registry = Registry(url, read_only=True)
    try:
        return registry.id
    finally:
        registry.close()


def _check_role(settings: Settings, base: Base, theirs: Path) -> None:
    """Raise if the other library's primary is another base; its rows would mean other bases here.

    Raises:
        Unavailable: It has another one.
    """
    role = role_of(theirs, marker.read_id(base) or "")
    if role == PRIMARY:
        return
    raise Unavailable(
        f"{base.path}, the primary base here, is the {role or 'former'} tier of another library, whose registry is"
        f" {theirs}.",
        hint=_settings_of(settings, theirs),
        cache_path=str(base.path),
        registry=str(theirs),
    )


def _settings_of(settings: Settings, theirs: Path) -> str:
    """Return how to use a registry's library, for a hint."""
    for primary, env_file in KnownLibraries(settings.state_home).load().items():
        if theirs == Base(Path(primary)).registry:
            return f"cd {Path(env_file).parent}" if env_file else f"export PRIMARY_CACHE_PATH={primary}"
    return "Use the settings of that library, or set PRIMARY_CACHE_PATH to another base."


def _out_of_reach(base: Base, named: Governor) -> Unavailable:
    where = named.file(base) or named.place
    mend = f"Mount the disk of {where}" if named.file(base) else f"Set DATABASE_URL={where} (and the password)"
    return Unavailable(
        f"The models in {base.path} are kept by the registry {where}, which can't be used from here.",
        hint=f"{mend}. If it is lost for good: shelf forget {base.path}, then shelf reconcile",
        cache_path=str(base.path),
        registry=str(where),
    )
