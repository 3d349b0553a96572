"""A placement that is measured by its blobs alone: the only snapshot of its repository, as it was when it arrived."""

from __future__ import annotations

from collections.abc import Sequence

from modelshelf.domain.models import ModelRow
from modelshelf.store.layout import Repo
from modelshelf.store.listing import Listing
from modelshelf.store.repos import delete, scan


def lone_snapshot(
    repo: Repo, rows: Sequence[ModelRow], of_repo: Sequence[ModelRow], listing: Listing | None = None
) -> delete.OnlySnapshot | None:
    """Return what removing a placement frees, if its blobs tell; None if a plan has to look closer.

    Args:
        repo: Its repository.
        rows: The models of the placement.
        of_repo: All models of the repository.
        listing: What was seen of it already.
    """
    first = rows[0]
    if first.commit_hash is None or not len(rows) == len(of_repo) == 1 or first.allow_patterns:
        return None
    found = delete.only_snapshot(repo, first.commit_hash, listing)
    if found is None or found.size_bytes != first.size_bytes:
        return None
    return found if first.signature == scan.signature(repo, first.commit_hash) else None
