"""A placement that is measured by its blobs alone: the only snapshot of its repository, as it was when it arrived."""

from __future__ import annotations

from collections.abc import Sequence

from modelshelf.domain.models import ModelRow
from modelshelf.store.layout import Base
from modelshelf.store.repos import delete, scan


def lone_snapshot(base: Base, rows: Sequence[ModelRow], of_repo: Sequence[ModelRow]) -> delete.OnlySnapshot | None:
    """Return what removing a placement frees, if its blobs tell; None if a plan has to look closer.

    Args:
        base: Its base.
        rows: The models of the placement.
        of_repo: All models of its repository.

    Raises:
        Conflict, Denied: It can't be removed; as `delete.plan_removal` raises.
    """
    first = rows[0]
    if first.commit_hash is None or not len(rows) == len(of_repo) == 1 or first.allow_patterns:
        return None
    if not first.signature or first.signature != scan.signature(base.repo(first.hf_path), first.commit_hash):
        return None
    found = delete.only_snapshot(base, first.hf_path, first.commit_hash)
    return found if found is not None and found.size_bytes == first.size_bytes else None
