"""Whether a repository is as the registry recorded it, so that its links still lead where they did.

A name that is created, deleted or replaced changes its folder's mtime. If snapshot and blobs have the mtimes that were
recorded when a model was laid out, and exactly the names that it needs, no link is read again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash
from modelshelf.store.repos import scan
from modelshelf.store.repos.names import RepoNames

_DIGEST, _PATH, _NAME = attrgetter("digest"), attrgetter("path"), attrgetter("name")


class Recorded(NamedTuple):
    """A registered model as it was when all of its files were there."""

    commit_hash: CommitHash
    files: tuple[FileEntry, ...]
    """The files that it needs."""
    signature: str
    """The value of `scan.signature` then; empty if it wasn't recorded."""


def is_as_recorded(names: RepoNames, models: Sequence[Recorded]) -> bool:
    """Return whether a repository holds what its models need, as laid out for them, and nothing else.

    Sizes aren't compared: a file that was cut short in place changes no folder.
    """
    if (judged := names.judged) is not None and judged[0] == models:
        return judged[1]
    names.judged = models, _is_as_recorded(names, models)
    return names.judged[1]


def _is_as_recorded(names: RepoNames, models: Sequence[Recorded]) -> bool:
    needed = {digest for model in models for digest in map(_DIGEST, model.files)}
    try:
        if not models or names.sizes is None or names.sizes.keys() != needed:
            return False
        signatures = _signatures(names)
        return signatures.keys() == {model.commit_hash for model in models} and all(
            bool(model.signature) and model.signature == signatures[model.commit_hash] and _is_laid_out(names, model)
            for model in models
        )
    except OSError:
        return False


def missing_files(names: RepoNames, model: Recorded) -> list[FileEntry]:
    """Return the files whose path in the snapshot doesn't lead to a file of their size, like `scan.missing_files`."""
    if is_as_recorded(names, [model]) and (sizes := names.sizes) is not None:
        return [file for file in model.files if sizes[file.digest] != file.size_bytes]
    return scan.missing_files(names.repo, model.commit_hash, model.files)


def _is_laid_out(names: RepoNames, model: Recorded) -> bool:
    """Return whether a snapshot has the links that were made for a model; False if some are in a folder below."""
    entries = names.listing.entries(f"{names.folders.snapshots}/{model.commit_hash}")
    return all(map(os.DirEntry.is_symlink, entries)) and set(map(_NAME, entries)) == set(map(_PATH, model.files))


def _signatures(names: RepoNames) -> dict[str, str]:
    """Return the signature of each snapshot as it was seen; none if a folder on the way to their files is a link."""
    above = {entry.name: entry for entry in names.listing.below(names.repo.folder)}
    commits = names.listing.below(names.folders.snapshots)
    are_folders = len(commits) == len(names.listing.entries(names.folders.snapshots))
    if not ({"blobs", "snapshots"} <= above.keys() and are_folders):
        return {}
    return {commit.name: scan.signature_of(commit.stat(), above["blobs"].stat()) for commit in commits}
