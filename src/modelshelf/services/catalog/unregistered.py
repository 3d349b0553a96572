"""Repositories on the tiers that no model is registered for."""

from __future__ import annotations

import contextlib
from pathlib import Path

from modelshelf.domain.listing import UnregisteredRepo
from modelshelf.domain.names import RepoId
from modelshelf.domain.tiers import CUSTOM
from modelshelf.errors import BadInput
from modelshelf.services.catalog.models import Library
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import scan
from modelshelf.store.tiers import marker, meter


def unregistered(library: Library, text: str = "") -> list[UnregisteredRepo]:
    """Return the unregistered repositories of models, by tier and id, with what their folders hold.

    An old copy that waits to be deleted is none of them.

    Args:
        library: The registered models. Every base that it ever used is scanned, also if it has no model there now.
        text: A part of the id, in any letter case.
    """
    bases: dict[str, str] = {tier.base: tier.location for tier in library.tiers.configured()}
    named = {(base, repo_id.lower()) for base, repo_id in library.reader.leaving()}
    for model in library.models():
        bases.setdefault(model.base, model.row.cache_location)
        named.add((model.base, model.row.hf_path.lower()))
    for path in library.reader.tier_ids():
        with contextlib.suppress(BadInput):  # the settings now call that base a tier of their own
            bases.setdefault(library.tiers.resolve(CUSTOM, path).base, CUSTOM)
    return [
        UnregisteredRepo(repo_id, location, base, meter.measure_repo(repo).apparent_bytes)
        for base, location in bases.items()
        for kind, repo_id, repo in _repos(Base(Path(base)))
        if kind == "model"
        and (base, repo_id.lower()) not in named
        and text.lower() in repo_id.lower()
        and not _is_of_view(repo)
    ]


def _repos(base: Base) -> list[tuple[str, RepoId, Repo]]:
    """Return a base's repositories; none if it can't be read now, of which `shelf tiers` says why."""
    with contextlib.suppress(OSError):
        return [] if marker.why_offline(base, None) else scan.repos(base)
    return []


def _is_of_view(repo: Repo) -> bool:
    """Return whether a folder has nothing but a view's links to another base."""
    return bool(scan.viewed(repo)) and not scan.blob_sizes(repo)
