"""Whether a folder may be a tier's base, with a limit: what `shelf init` and `shelf config` ask."""

from __future__ import annotations

from pathlib import Path

from modelshelf.errors import BadInput
from modelshelf.store.tiers import disks
from modelshelf.units import GB, format_size


def check_limit(base: str, limit_bytes: int | None) -> None:
    """Raise unless a base's disk can hold a limit; a disk of less than 1 GB may have a limit of 1 GB.

    Raises:
        BadInput: The disk is smaller.
    """
    size_bytes = disks.size_bytes(Path(base))
    if limit_bytes is not None and size_bytes is not None and limit_bytes > max(size_bytes, GB):
        raise BadInput(
            f"A limit of {format_size(limit_bytes)} is more than the disk of {base} holds, which is"
            f" {format_size(size_bytes)}.",
            hint="Give less, or none: then the disk alone limits it.",
            cache_path=base,
        )


def check_writable(base: str, hint: str) -> None:
    """Raise unless a base can be written, or made.

    Args:
        base: The base.
        hint: What to do else.

    Raises:
        BadInput: It can't.
    """
    path = Path(base)
    if not disks.is_writable(path):
        raise BadInput(f"{path} cannot be written: look at {disks.nearest(path)}.", hint=hint, cache_path=base)
