"""What a base's file system can: by the mount table, and by a probe when the tier was opened."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelshelf.domain.disks import PLAIN, Capabilities, Mount
from modelshelf.domain.outside import flag_of, object_of
from modelshelf.errors import BadInput, Denied, ShelfError
from modelshelf.store import fs, locks
from modelshelf.store.blobs import link_or_clone
from modelshelf.store.layout import Base
from modelshelf.store.mounts import mount_of
from modelshelf.store.probe import is_there
from modelshelf.store.small_files import read_small_json

_FORMAT = 1
_TRIED = ("symlinks", "hardlinks", "reflinks", "case_sensitive", "any_names", "locks")
"""What the probe tries; the mount table says the rest, every time."""
_USUAL = Capabilities(symlinks=True, hardlinks=True, reflinks=False)


def of(base: Base) -> Capabilities:
    """Return what a base's file system can; nothing is tried.

    What `probe` didn't find out follows from the kind of file system.
    """
    mount = mount_of(base.path)
    facts: dict[str, Any] = {
        "network": mount.is_network,
        "max_file_bytes": mount.max_file_bytes,
        "file_system": mount.kind,
        **_told(mount),
        **_read(base, mount),
    }
    return replace(_USUAL, **facts)


def probe(base: Base) -> None:
    """Probe what a tier's file system can, and store it; does nothing if that is known or can't be written.

    What an earlier version didn't try is tried now; its results count unless the file system changed.
    """
    mount = mount_of(base.path)
    kept = _read(base, mount)
    if not all(name in kept for name in _TRIED):
        with contextlib.suppress(ShelfError, OSError):
            found = _try(base.path, base.own) | kept
            text = json.dumps({"format": _FORMAT, "file_system": mount.kind, **found})
            fs.write_text(base.path, base.capabilities, text)


def _told(mount: Mount) -> dict[str, bool]:
    """Return what the kind of file system tells; nothing for an ordinary one."""
    lacks = ("symlinks", "hardlinks", "case_sensitive", "any_names") if mount.kind in PLAIN else ()
    return dict.fromkeys(lacks, False)


def _read(base: Base, mount: Mount) -> dict[str, bool]:
    """Return the stored results; nothing if they can't be read, or are another file system's."""
    try:
        kept = object_of(read_small_json(base.capabilities), "format")
        if kept["format"] != _FORMAT or kept.get("file_system", mount.kind) != mount.kind:
            return {}
        return {name: flag_of(kept[name]) for name in _TRIED if name in kept}
    except (OSError, BadInput):
        return {}


def _try(root: Path, folder: Path) -> dict[str, bool]:
    symlinks, hardlinks, reflinks = link_or_clone.probe_links(root, folder)
    probe = folder / f".probe.{os.urandom(4).hex()}{fs.TEMPORARY}"
    try:
        fs.write_text(root, probe, "")
        case_sensitive = not is_there(probe.with_name(probe.name.upper()))
        locks_hold = locks.bounded(lambda: _excludes(probe), probe)
    finally:
        fs.remove_file(root, probe)
    any_names = all(_keeps_name(root, folder / name) for name in (f".probe:x.{probe.name}", f"{probe.name}."))
    tried = (symlinks, hardlinks, reflinks, case_sensitive, any_names, locks_hold)
    return dict(zip(_TRIED, tried, strict=True))


def _keeps_name(root: Path, path: Path) -> bool:
    """Return whether a file can have exactly this name."""
    try:
        fs.write_text(root, path, "")
        return path.name in os.listdir(path.parent)  # noqa: PTH208 - the names as the file system gives them
    except (Denied, OSError):  # a full disk says nothing about names
        return False
    finally:
        fs.remove_file(root, path)


def _excludes(path: Path) -> bool:
    """Return whether a lock on one descriptor is refused to another."""
    descriptors = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for _ in range(2)]
    try:
        return [_locks(fd) for fd in descriptors] == [True, False]
    finally:
        for fd in descriptors:
            os.close(fd)


def _locks(fd: int) -> bool:
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
