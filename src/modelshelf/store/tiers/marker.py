"""A tier's marker: the file that tells a mounted base from the empty folder it is mounted on."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from modelshelf.domain.names import TierId
from modelshelf.domain.outside import object_of
from modelshelf.domain.temporary_names import is_temporary
from modelshelf.errors import BadInput, Denied, OutOfSpace, ShelfError, Unavailable
from modelshelf.store import fs
from modelshelf.store.known_bases import KnownBases
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_file, is_folder, is_link, is_there
from modelshelf.store.small_files import read_small_json
from modelshelf.store.waiting import turnstile


def read_id(base: Base) -> TierId | None:
    """Return the id of the tier mounted at a base; None without a marker, or with one that has no id."""
    try:
        return TierId(object_of(read_small_json(base.marker), "id")["id"])
    except (OSError, BadInput):
        return None


def base_behind(place: Path) -> Base | None:
    """Return the base that a link leads into, by its marker; None for whatever else is there."""
    try:
        target = os.path.normpath(place.parent / place.readlink())
    except OSError:
        return None
    return next((base for above in Path(target).parents if is_file((base := Base(above)).marker)), None)


def why_offline(base: Base, known_id: str | None) -> str:
    """Return why a base can't be used, in a sentence; empty if it can.

    Args:
        base: The base.
        known_id: The id it had when it was last used; None for a base that was never used, empty for a used one with
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
        known: The user's list of known bases.
        registered_id: The id that the registry has for this base; None if it has none.

    Raises:
        Unavailable: The base was used before and its marker is missing now; nothing was written.
        BadInput: The base can't be created or written.
        Denied: Its bytes would go elsewhere; see `check_folders`.
    """
    check_online(base, registered_id or known.load().get(str(base.path)))
    tier_id = read_id(base)
    if tier_id is None:
        tier_id = reset_marker(base)
    known.remember(base, tier_id)
    return tier_id


def check_folders(base: Base) -> None:
    """Raise unless everything written to a base stays there, on one file system.

    Raises:
        Denied: `hub`, `modelshelf` or something in the latter is a link, or one of the two is on another file system.
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
    """Return a folder's entries by name, without a killed probe's leftovers."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if not is_temporary("", entry.name))
    except OSError:
        return []


def check_online(base: Base, known_id: str | None) -> None:
    """Raise unless a base can be used.

    Args:
        base: The base.
        known_id: As `why_offline` takes it.

    Raises:
        Denied: Its bytes would go elsewhere; see `check_folders`.
        Unavailable: It was used before, and its marker is missing now, or names another tier; or too many threads
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
    """Mark a base as a tier with a new id; return the id, which may be that of a faster process.

    Raises:
        BadInput: The base can't be created or written.
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
    """Raise unless a base without a marker could be created and marked.

    Raises:
        BadInput: It couldn't.
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
    """Give a base a new id, because it is a copy or its marker can't be read; return the id."""
    tier_id = TierId(uuid.uuid4().hex)
    fs.write_text(base.path, base.marker, json.dumps({"format": 1, "id": tier_id}))
    return tier_id


def is_writable(base: Base) -> bool:
    """Return whether this process may write in a base, or create it: not mounted read-only, no other owner's folders.

    Advice for people and for refusing early; the system itself refuses writes all the same.
    """
    for folder in (base.own, base.hub):
        nearest = folder if os.access(folder, os.F_OK) else nearest_folder(base)
        if not os.access(nearest, os.W_OK | os.X_OK):
            return False
    return True


def nearest_folder(base: Base) -> Path:
    """Return a base, or the nearest existing folder above it."""
    return next(path for path in (base.path, *base.path.parents) if is_folder(path) or is_file(path))


def _holder(base: Base) -> Path:
    """Return the folder on whose file system a base's bytes are."""
    return base.hub if is_there(base.hub) else nearest_folder(base)


def device(base: Base) -> str:
    """Return a text that identifies a base's file system.

    It is the device of the nearest existing folder.
    """
    return str(_holder(base).stat().st_dev)


def free_bytes(base: Base) -> int:
    """Return the bytes that a base's file system has free for an ordinary user."""
    found = os.statvfs(_holder(base))
    return found.f_bavail * found.f_frsize


def disk_bytes(base: Base) -> int:
    """Return the bytes that a base's file system has in all."""
    found = os.statvfs(_holder(base))
    return found.f_blocks * found.f_frsize


def free_entries(base: Base) -> int | None:
    """Return how many more files a base's file system can have for an ordinary user; None if it doesn't count them."""
    found = os.statvfs(nearest_folder(base))
    return found.f_favail if found.f_files else None
