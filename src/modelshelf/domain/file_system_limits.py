"""Whether a file system can hold the files of a model at all, regardless of free space."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from modelshelf.domain.disks import Capabilities
from modelshelf.domain.models import FileEntry
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput, OutOfSpace
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.adopt_inventory import FoundFile

_NOT_IN_NAMES = frozenset(':*?"<>|\\')
"""Characters that Windows reserves. Source: Microsoft, "Naming Files, Paths, and Namespaces"."""
_LEAVE_OUT = "Use a tier on a Linux file system, or leave the file out with --include."


def check_names(names: Iterable[str], tier: Tier, can: Capabilities, hint: str = _LEAVE_OUT) -> None:
    """Raise unless a file system can store these names and tell them apart.

    Args:
        names: Paths that will be written below one folder.
        tier: The tier.
        can: What its file system can.
        hint: What to do about an impossible name.

    Raises:
        BadInput: One of them is reserved there, or two differ by case only.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not can.any_names and _is_reserved(name):
            raise BadInput(
                f"{tier.base} cannot hold the name {name!r}: its file system ({can.file_system}) reserves it.",
                hint=hint,
                path=name,
                cache_path=tier.base,
            )
        other = seen.setdefault(name.casefold(), name)
        if not can.case_sensitive and other != name:
            raise BadInput(
                f"{other} and {name} would be one file in {tier.base}: its file system ignores case.",
                hint=hint,
                path=name,
                cache_path=tier.base,
            )


def _is_reserved(path: str) -> bool:
    return any(part[-1:] in (".", " ") or not _NOT_IN_NAMES.isdisjoint(part) for part in path.split("/"))


def check_sizes(
    files: Sequence[FileEntry], tier: Tier, can: Capabilities, elsewhere: Mapping[str, Capabilities]
) -> None:
    """Raise unless a file system can hold each of these files.

    Args:
        files: The files to write.
        tier: The tier.
        can: What its file system can.
        elsewhere: What the other tiers' file systems can, by location.

    Raises:
        OutOfSpace: One is larger than the file system allows; says what would hold it.
    """
    largest = max(files, key=lambda file: file.size_bytes, default=None)
    if largest is None or fits(largest, can):
        return
    assert can.max_file_bytes is not None
    holders = [location for location, other in elsewhere.items() if fits(largest, other)]
    hint = f"{' or '.join(holders)} has room: --to {holders[0]}" if holders else "Use a disk with ext4 or exFAT."
    raise OutOfSpace(
        f"{largest.path} has {format_size(largest.size_bytes)}; a file on {tier.location} ({can.file_system}) has at"
        f" most {format_size(can.max_file_bytes)}.",
        hint=hint,
        cache_location=tier.location,
        cache_path=tier.base,
        path=largest.path,
        needed_bytes=largest.size_bytes,
        max_file_bytes=can.max_file_bytes,
        would_hold=holders,
    )


def fits(file: FileEntry, can: Capabilities) -> bool:
    """Return whether a file system can have a file of this size."""
    return can.max_file_bytes is None or file.size_bytes <= can.max_file_bytes


BESIDE_ENTRIES = 24
"""Folders of a repository, refs, lists, sidecars, and the temporary files of a download."""


def entries_of(files: Iterable[FileEntry | FoundFile], present: Collection[str]) -> int:
    """Return the most entries (inodes) that a snapshot takes on a disk; none if all blobs are there.

    A file takes a link, and missing content a blob and two locks. A file without a digest counts as missing.

    Args:
        files: The selected files.
        present: The existing blobs.

    """
    wanted = list(files)
    missing = {file.digest or file.path for file in wanted} - set(present)
    folders = {str(folder) for file in wanted for folder in PurePosixPath(file.path).parents if str(folder) != "."}
    return BESIDE_ENTRIES + len(wanted) + len(folders) + 3 * len(missing) if missing else 0


def check_entries(need_entries: int, tier: Tier, free_entries: int | None) -> None:
    """Raise unless a disk has enough inodes for these files.

    Args:
        need_entries: How many an operation needs.
        tier: The tier.
        free_entries: How many the disk has free; None if it doesn't count them.

    Raises:
        OutOfSpace: It hasn't; says what is needed and what is free.
    """
    if free_entries is None or need_entries <= free_entries:
        return
    raise OutOfSpace(
        f"Need {need_entries} entries (inodes), {tier.location} has {free_entries} left on its disk.",
        hint="Delete small files on it: shelf gc, shelf rm NAME --files, or other files.",
        cache_location=tier.location,
        cache_path=tier.base,
        needed_entries=need_entries,
        free_entries=free_entries,
    )
