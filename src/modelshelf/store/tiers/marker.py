"""A tier's marker: the file that tells a mounted base from the empty folder it is mounted on."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from modelshelf.domain.gc import is_temporary
from modelshelf.domain.names import TierId
from modelshelf.domain.outside import object_of
from modelshelf.errors import BadInput, Denied, OutOfSpace, ShelfError, Unavailable
from modelshelf.store import fs
from modelshelf.store.known_bases import KnownBases
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_file, is_folder, is_link, is_there
from modelshelf.store.small_files import read_small_json
from modelshelf.store.waiting import turnstile


def read_id(base: Base) -> TierId | None:
    """Return the id of the tier that is mounted at a base; None without a marker, or one that says no id."""
    try:
        return TierId(object_of(read_small_json(base.marker), "id")["id"])
    except (OSError, BadInput):
        return None


def why_offline(base: Base, known_id: str | None) -> str:
    """Return why a base cannot be used, in a sentence; empty when it can.

    Args:
        base: The base.
        known_id: The id it had when it was last seen; None for a base that was never used, empty for one that was, with
            an id that nobody remembers.
    """
    try:
        check_online(base, known_id)
    except ShelfError as err:
        return err.detail
    return ""


def open_tier(base: Base, known: KnownBases, registered_id: str | None) -> TierId:
    """Return the id of the tier at a base; on first use the base is created and marked.

    Args:
        base: The base.
        known: The user's memory of bases.
        registered_id: The id that the registry has for this base; None when it has none.

    Raises:
        Unavailable: The base was used before and its marker is not there now; nothing was written.
        BadInput: The base cannot be created or written.
        Denied: Its bytes would go elsewhere; see `check_folders`.
    """
    check_online(base, registered_id or known.load().get(str(base.path)))
    tier_id = read_id(base)
    if tier_id is None:
        tier_id = reset_marker(base)
    known.remember(base, tier_id)
    return tier_id


def check_folders(base: Base) -> None:
    """Do nothing when what is written in a base stays there, on one file system.

    Raises:
        Denied: `hub`, `modelshelf` or something in the latter is a link, or one of the two lies on another file system.
    """
    for path in (base.hub, base.own, base.hub / ".locks", *_entries(base.own)):
        if is_link(path):
            target = path.readlink()
            raise Denied(
                f"{path} is a link to {target}: modelshelf writes nothing through it.",
                hint=f"Name the base that {target} belongs to, or bring it here: rm {path} && mv {target} {path}",
                path=str(path),
            )
    if is_there(base.hub) and is_there(base.own) and base.hub.stat().st_dev != base.own.stat().st_dev:
        raise Denied(
            f"{base.hub} and {base.own} are on different file systems.",
            hint=f"Mount {base.path} as a whole, or choose a base that is on one disk.",
            path=str(base.hub),
        )


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder by name, without what a killed process tried there."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if not is_temporary("", entry.name))
    except OSError:
        return []


def check_online(base: Base, known_id: str | None) -> None:
    """Do nothing when a base can be used.

    Args:
        base: The base.
        known_id: As `why_offline` takes it.

    Raises:
        Denied: Its bytes would go elsewhere; see `check_folders`.
        Unavailable: It was used before, and its marker is not there now, or names another tier; or too many threads
            wait for its disk.
    """
    with turnstile(base.path).inside():
        check_folders(base)
        found = read_id(base)
    if known_id is None:
        return
    leads = f", which leads to {real}," if (real := os.path.realpath(base.path)) != str(base.path) else ""
    if found is None:
        raise Unavailable(
            f"{base.path}{leads} is known, but its marker {base.marker.relative_to(base.path)} is missing: is it"
            " mounted?",
            hint=f"Mount it. If you emptied it on purpose: shelf tiers --reset-marker {base.path}",
            cache_path=str(base.path),
        )
    if known_id not in ("", found):
        raise Unavailable(
            f"{base.path}{leads} holds another tier than before: is the right drive mounted there?",
            hint=f"Mount the right one. To go on with what is there now: shelf forget {base.path}",
            cache_path=str(base.path),
        )


def reset_marker(base: Base) -> TierId:
    """Mark a base as a tier with a new id; returns the id, which may be that of a process that was faster.

    Raises:
        BadInput: The base cannot be created or written.
    """
    tier_id = TierId(uuid.uuid4().hex)
    try:
        fs.create_text(base.path, base.marker, json.dumps({"format": 1, "id": tier_id}))
    except FileExistsError:
        return read_id(base) or give_new_id(base)
    except OutOfSpace:
        raise
    except (ShelfError, OSError) as err:
        why = (err.strerror if isinstance(err, OSError) else None) or f"{err}".rstrip(".")
        raise _unwritable(base, why) from err
    return tier_id


def check_creatable(base: Base) -> None:
    """Do nothing when a base that has no marker yet could be created and marked.

    Raises:
        BadInput: It could not.
    """
    check_folders(base)
    nearest = nearest_folder(base)
    if not is_folder(nearest):
        raise _unwritable(base, f"{nearest} isn't a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _unwritable(base, f"{nearest} cannot be written")


def _unwritable(base: Base, why: str) -> BadInput:
    return BadInput(
        f"The base {base.path} cannot be written: {why}.",
        hint="Choose a folder of yours, or create this one and make it yours.",
        cache_path=str(base.path),
    )


def give_new_id(base: Base) -> TierId:
    """Write a base's marker anew: it is a copy of another base, or its marker cannot be read; returns the id."""
    tier_id = TierId(uuid.uuid4().hex)
    fs.write_text(base.path, base.marker, json.dumps({"format": 1, "id": tier_id}))
    return tier_id


def is_writable(base: Base) -> bool:
    """Return whether this process may write in a base: no read-only mount, no other owner's folders.

    Advice for people and for refusing early; what is written all the same is refused by the system itself.
    """
    for folder in (base.own, base.hub):
        nearest = folder if os.access(folder, os.F_OK) else base.path
        if os.access(nearest, os.F_OK) and not os.access(nearest, os.W_OK | os.X_OK):
            return False
    return True


def nearest_folder(base: Base) -> Path:
    """Return a base, or what it would be made in: the nearest path above it that exists."""
    return next(path for path in (base.path, *base.path.parents) if is_folder(path) or is_file(path))


def _holder(base: Base) -> Path:
    """Return the folder on whose file system a base's bytes lie."""
    return base.hub if is_there(base.hub) else nearest_folder(base)


def device(base: Base) -> str:
    """Return what tells the file system of a base from others, as a text.

    The device of the nearest folder that exists.
    """
    return str(_holder(base).stat().st_dev)


def free_bytes(base: Base) -> int:
    """Return what the file system of a base has for an ordinary user, in bytes."""
    found = os.statvfs(_holder(base))
    return found.f_bavail * found.f_frsize


def free_entries(base: Base) -> int | None:
    """Return how many files more the file system of a base can have for an ordinary user; None where it counts none."""
    found = os.statvfs(nearest_folder(base))
    return found.f_favail if found.f_files else None
