"""The user's lists of known bases and libraries, outside every base: they survive a base that isn't mounted."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.names import BasePath
from modelshelf.domain.outside import object_of, text_of
from modelshelf.errors import BadInput, ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import Base, known_bases_file, known_libraries_file
from modelshelf.store.small_files import read_small_json


@dataclass(frozen=True, slots=True)
class KnownBases:
    """The user's list of every base ever used."""

    state_home: Path

    def load(self) -> dict[str, str]:
        """Return base to tier id."""
        return _load(known_bases_file(self.state_home))

    def remember(self, base: Base, tier_id: str) -> None:
        """Add a base."""
        _note(known_bases_file(self.state_home), str(base.path), tier_id)

    def forget(self, base: Base) -> None:
        """Drop a base."""
        _note(known_bases_file(self.state_home), str(base.path), None)


@dataclass(frozen=True, slots=True)
class KnownLibraries:
    """The user's list of every library ever used: by its primary base, the settings file that named it."""

    state_home: Path

    def load(self) -> dict[str, str]:
        """Return primary base to settings file; an empty text if the environment named it."""
        return _load(known_libraries_file(self.state_home))

    def remember(self, base: Base, env_file: Path | None) -> None:
        """Add a library."""
        _note(known_libraries_file(self.state_home), str(base.path), str(env_file or ""))

    def forget(self, base: Base) -> None:
        """Drop a library."""
        _note(known_libraries_file(self.state_home), str(base.path), None)


def _load(path: Path) -> dict[str, str]:
    """Return a list's content; an entry that can't be a base is left out."""
    try:
        said = object_of(read_small_json(path))
    except (OSError, BadInput):
        return {}
    found: dict[str, str] = {}
    for base, value in said.items():
        with contextlib.suppress(BadInput):
            found[BasePath(base)] = text_of(value)
    return found


def _note(path: Path, key: str, value: str | None) -> None:
    """Write or delete an entry; a list that can't be written (a read-only home) doesn't stop the work."""
    known = _load(path)
    if known.get(key) == value:
        return
    changed = {name: text for name, text in (known | {key: value}).items() if text is not None}
    try:
        fs.write_text(path.parent, path, json.dumps(changed, indent=1, sort_keys=True))
    except (ShelfError, OSError):
        return
