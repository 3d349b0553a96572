"""Damaged bytes out of the way. The caller holds the blob's locks."""

from __future__ import annotations

from pathlib import Path

from modelshelf.domain.names import Digest
from modelshelf.errors import Conflict, Denied, Unavailable
from modelshelf.store import fs
from modelshelf.store.blobs import shared_store
from modelshelf.store.blobs.partial import file_agrees
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_link


def is_damaged(path: Path, digest: Digest) -> bool:
    """Return whether a file is there and its bytes are not what its digest promises; reads all of it.

    What may not be read is not said to be damaged; what the disk cannot read is.
    """
    try:
        return not file_agrees(path, digest)
    except (Unavailable, Denied, NotADirectoryError):
        return False
    except OSError:
        return True


def set_aside(base: Base, path: Path, digest: Digest) -> Path | None:
    """Move damaged bytes into quarantine; returns where they lie now, None when nothing damaged is there any more.

    A payload of the shared store is moved itself, and every link to it leads nowhere then. A link that leads into
    another repository is taken away: the bytes behind it are that repository's.

    Raises:
        Conflict: The shared store has a layout that is not known here.
        Denied: It may not be moved.
    """
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
