"""Which kinds of links the file system of a base has: tried once, kept beside the tier's marker."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from modelshelf.errors import ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import Base

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a file system can."""

    symlinks: bool
    """Whether a snapshot can link to its blobs; where not, the bytes lie in the snapshot itself."""
    hardlinks: bool
    reflinks: bool


_USUAL = Capabilities(symlinks=True, hardlinks=True, reflinks=False)


def of(base: Base) -> Capabilities:
    """Return what the file system of a base can.

    A base that has no marker yet or cannot be written is taken for a usual disk: what lies there is read as it is.
    """
    kept = _read(base)
    if kept is not None:
        return kept
    if not base.marker.exists():  # nothing is written on what may be an empty mount point
        return _USUAL
    try:
        found = Capabilities(*fs.probe_links(base.own))
        fs.write_text(base.capabilities, json.dumps({"format": _FORMAT, **asdict(found)}))
    except (ShelfError, OSError):
        return _USUAL
    return found


def _read(base: Base) -> Capabilities | None:
    try:
        kept = json.loads(base.capabilities.read_text(encoding="utf-8"))
        if kept["format"] != _FORMAT:
            return None
        return Capabilities(bool(kept["symlinks"]), bool(kept["hardlinks"]), bool(kept["reflinks"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
