"""Putting damaged bytes into quarantine. The caller holds the blob's locks."""

from __future__ import annotations

import os
from pathlib import Path

from modelshelf.domain.names import Digest
from modelshelf.errors import Conflict, Denied, Unavailable
from modelshelf.store import fs
from modelshelf.store.blobs import shared_store
from modelshelf.store.blobs.partial import file_agrees
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_link
from modelshelf.store.repos import scan


def is_damaged(path: Path, digest: Digest) -> bool:
    """Return whether a file exists and its bytes don't match its digest; reads all of it.

    A file that may not be read doesn't count as damaged; one that the disk can't read does.
    """
    try:
        return not file_agrees(path, digest)
    except (Unavailable, Denied, NotADirectoryError):
        return False
    except OSError:
        return True


def set_aside(base: Base, path: Path, digest: Digest) -> Path | None:
    """Move damaged bytes into quarantine; return their new path, or None if nothing damaged is here any more.

    A payload of the shared store is moved itself, so every link to it dangles. A link that leads into
    another repository is deleted, because the bytes are that repository's.

    Raises:
        Conflict: The shared store has an unknown layout.
        Denied: It can't be moved.
    """
    if is_link(path) and scan.leads_out(str(path), os.path.realpath(base.hub)):
        return None  # a view's link: the bytes are another tier's
    payload = shared_store.payload_of(base, path)
    if payload is not None:
        why = shared_store.why_unknown(base)
        if why:
            raise Conflict(why)
        with shared_store.payload_lock(payload):
            return fs.set_aside(base.path, payload, base.quarantine) if is_damaged(payload, digest) else None
    if not is_damaged(path, digest):
        return None
    if is_link(path):
        fs.remove_file(base.path, path)
        return None
    return fs.set_aside(base.path, path, base.quarantine)
