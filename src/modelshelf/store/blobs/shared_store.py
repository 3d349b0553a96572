"""huggingface_hub's shared blob store, through huggingface_hub's own rules.

Source: huggingface_hub 2.4 `utils/_shared_blobs.py`: payloads at `hub/blobs/<2 hex>/<xet hash>`, links to them in the
repositories, a `.refs` manifest and a `.lock` beside each payload. The manifest is a hint; a payload without a
readable one is never deleted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.store.folders import place
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_link, is_there


def payload_of(base: Base, blob: Path) -> Path | None:
    """Return the payload in the shared store that a blob links to; None if the blob holds its own bytes."""
    if not is_link(blob):
        return None
    from huggingface_hub.utils import _shared_blobs

    return _shared_blobs.shared_blob_target(blob, base.hub)


def is_last_link(base: Base, payload: Path, blob: Path) -> bool:
    """Return whether the payload's manifest knows no other blob that still links to it."""
    from huggingface_hub.utils import _shared_blobs

    freed = _shared_blobs.expected_shared_blob_freed_size(payload, blob_paths_to_delete={blob}, cache_dir=base.hub)
    return freed > 0


def sweep(base: Base, payload: Path) -> Freed:
    """Delete a payload without links; return what that freed."""
    from huggingface_hub.utils import _shared_blobs

    try:
        with place(base.path, payload) as at:  # huggingface_hub goes by the path: refuse a link on the way first
            allocated_bytes = at.status().st_blocks * 512
    except FileNotFoundError:
        return Freed()
    freed_bytes = _shared_blobs.sweep_shared_blob(payload, cache_dir=base.hub)
    return Freed(freed_bytes, allocated_bytes) if freed_bytes else Freed()


def why_unknown(base: Base) -> str:
    """Return why a base's store must be left alone, in a sentence; empty if it is known or doesn't exist."""
    from huggingface_hub.utils import _shared_blobs

    folder = _shared_blobs.shared_blobs_dir(base.hub)
    if not is_there(folder) or _shared_blobs.is_shared_blobs_dir(folder):
        return ""
    return f"{folder} is a shared blob store with a layout that huggingface_hub here doesn't know; it is left alone."


def unreferenced(base: Base) -> dict[Path, int]:
    """Return the payloads without links, with their sizes in bytes."""
    from huggingface_hub.utils import _shared_blobs

    return _shared_blobs.unreferenced_shared_blobs(base.hub)


def freed_without(base: Base, payload: Path, blobs: set[Path]) -> int:
    """Return what sweeping a payload frees once these links to it are gone; 0 if others stay."""
    from huggingface_hub.utils import _shared_blobs

    return _shared_blobs.expected_shared_blob_freed_size(payload, blob_paths_to_delete=blobs, cache_dir=base.hub)


def payload_lock(payload: Path) -> AbstractContextManager[None]:
    """Return huggingface_hub's lock of a payload, under which it publishes, links and deletes it."""
    from huggingface_hub.utils import _shared_blobs

    return _shared_blobs._shared_blob_lock(payload)
