"""The registry that governs a base: the base's marker names it, so that no other registry takes the base."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from modelshelf.errors import BadInput, Conflict, ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_there
from modelshelf.store.small_files import read_small_json


@dataclass(frozen=True, slots=True)
class Governor:
    """A registry, as a marker names it."""

    id: str
    """The registry's own id."""
    place: str
    """Its place: a path for SQLite, relative to the base if it is inside; else a URL without password."""

    def file(self, base: Base) -> Path | None:
        """Return its SQLite file as this process would find it; None for a server."""
        return None if "://" in self.place else base.path / self.place

    def is_at(self, base: Base, url: str) -> bool:
        """Return whether a URL means the same place."""
        path = self.file(base)
        if path is None or not url.startswith(_SQLITE):
            return self.place == without_password(url)
        return path.resolve() == Path(url.removeprefix(_SQLITE)).resolve()


_SQLITE = "sqlite:///"


def read(base: Base) -> Governor | None:
    """Return the registry that a base's marker names; None if it names none, or nothing valid."""
    named = _read_marker(base).get("registry")
    if not isinstance(named, dict):
        return None
    registry_id, place = named.get("id"), named.get("place")
    if not (isinstance(registry_id, str) and isinstance(place, str) and registry_id and place):
        return None
    return Governor(registry_id, place)


def why_not_ours(base: Base, registry_id: str, url: str) -> str:
    """Return why a registry may not change a base, in a sentence; empty if it may.

    A different registry at the place that the marker names has replaced a lost one.

    Args:
        base: The base.
        registry_id: The registry's id.
        url: Where it is.
    """
    named = read(base)
    if named is None or named.id == registry_id or named.is_at(base, url):
        return ""
    return f"{base.path} belongs to another library, whose registry is {named.file(base) or named.place}."


def check_ours(base: Base, registry_id: str, url: str) -> None:
    """Raise unless a registry may change a base; see `why_not_ours`.

    Raises:
        Conflict: It may not: the base belongs to another library.
    """
    reason = why_not_ours(base, registry_id, url)
    if reason:
        command = f"{_settings_of(read(base), base)}shelf forget {shlex.quote(str(base.path))} --models"
        hint = f"Use the settings of that library, or let it release the base (its files stay): {command}"
        raise Conflict(reason, hint=hint, cache_path=str(base.path))


def _settings_of(named: Governor | None, base: Base) -> str:
    """Return the setting in front of a command that makes it use a library whose registry is in its primary base."""
    file = named.file(base) if named is not None else None
    if file is None or Base(file.parent.parent).registry != file:
        return ""
    return f"PRIMARY_CACHE_PATH={shlex.quote(str(file.parent.parent))} "


def claim(base: Base, registry_id: str, url: str) -> None:
    """Write a registry into a base's marker; a base that can't be written keeps its marker.

    Raises:
        Conflict: The base belongs to another library.
    """
    check_ours(base, registry_id, url)
    named, ours = read(base), Governor(registry_id, _place(base, url))
    if named is not None and named.id == registry_id and not _has_moved(base, named):
        return
    try:
        fs.write_text(base.path, base.marker, json.dumps(_read_marker(base) | {"registry": asdict(ours)}))
    except (ShelfError, OSError):
        return
    check_ours(base, registry_id, url)  # of two at once, the later one has it


def release(base: Base, registry_id: str) -> None:
    """Remove a registry from a base's marker, if it names this one.

    Raises:
        Denied, OSError: The marker can't be written.
    """
    named = read(base)
    if named is not None and named.id == registry_id:
        marker = _read_marker(base)
        fs.write_text(base.path, base.marker, json.dumps({name: marker[name] for name in marker if name != "registry"}))


def without_password(url: str) -> str:
    """Return a URL as it may be shown and kept.

    >>> without_password("postgresql+psycopg://me:secret@db/shelf")
    'postgresql://me@db/shelf'
    >>> without_password("sqlite:////base/registry.db")
    'sqlite:////base/registry.db'
    """
    if url.startswith(_SQLITE):
        return url
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(item for item in parts.query.split("&") if not item.startswith("password="))
    return urlunsplit((parts.scheme.partition("+")[0], user.partition(":")[0] + at + host, parts.path, query, ""))


def _place(base: Base, url: str) -> str:
    if not url.startswith(_SQLITE):
        return without_password(url)
    path = Path(url.removeprefix(_SQLITE)).absolute()
    return str(path.relative_to(base.path)) if path.is_relative_to(base.path) else str(path)


def _has_moved(base: Base, named: Governor) -> bool:
    """Return whether a registry left its base; one elsewhere may be visible to other processes only."""
    path = named.file(base)
    return path is not None and not Path(named.place).is_absolute() and not is_there(path)


def _read_marker(base: Base) -> dict[str, object]:
    try:
        found = read_small_json(base.marker)
    except (OSError, BadInput):
        return {}
    return found if isinstance(found, dict) else {}
