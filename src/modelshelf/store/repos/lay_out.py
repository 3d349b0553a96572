"""Laying out a snapshot of bytes that are there, as huggingface_hub would; nobody is asked for anything."""

from __future__ import annotations

from collections.abc import Iterable

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash
from modelshelf.domain.ports import Progress
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import snapshot, trees, without_links


def lay_out(
    base: Base, repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry], progress: Progress, *, symlinks: bool
) -> None:
    """Let a snapshot have these files, whose bytes are in the repository; the caller holds its lock.

    **Crash:** some of them are there; the next call makes the rest.
    """
    snapshot.tag_cache(base)
    if symlinks:
        snapshot.link(repo, commit_hash, files)
    else:
        without_links.settle(base, repo, commit_hash, files, progress)


def list_commit(repo: Repo, commit_hash: CommitHash, manifest: Iterable[FileEntry]) -> None:
    """Let the list of a commit's files name these; one that does stays, for it may know more of each file."""
    there = {file.path: file for file in trees.read(repo, commit_hash)}
    named = there | {file.path: file for file in manifest}
    if named != there:
        trees.write(repo, commit_hash, named.values())
