"""Repositories beside a base's `hub`, where code with `cache_dir=BASE` puts what it downloads."""

from __future__ import annotations

import contextlib

from modelshelf.domain.freed import Freed
from modelshelf.domain.names import CommitHash, RepoId
from modelshelf.store import fs, locks
from modelshelf.store.adopt import merge_folder
from modelshelf.store.gc import open_files
from modelshelf.store.layout import SHARED_MARKER, Base, CacheDir, Repo
from modelshelf.store.probe import is_folder, is_real_folder
from modelshelf.store.repos import scan, trees

QUIET_S = 60.0
"""A program that downloads writes more often than this, and so do those that fetch one file after the other."""


def quiet(base: Base, now: float) -> list[RepoId]:
    """Return the models beside a base's `hub` that nobody is writing, with a snapshot or the rest of a taken one.

    Args:
        base: The base.
        now: The time, in seconds since 1970.
    """
    cache_dir = CacheDir(base.path)
    found = [(repo_id, repo) for kind, repo_id, repo in scan.repos(cache_dir) if kind == "model"]
    known = [repo_id for repo_id, repo in found if scan.snapshots(repo) or is_folder(base.repo(repo_id).path)]
    return [repo_id for repo_id in known if not why_busy(cache_dir, repo_id, now)]


def why_busy(cache_dir: CacheDir, repo_id: RepoId, now: float) -> str:
    """Return why a repository may be changing, in a sentence; empty if it isn't.

    Args:
        cache_dir: The folder that it is in.
        repo_id: The repository.
        now: The time, in seconds since 1970.
    """
    repo = cache_dir.repo(repo_id)
    files = list(scan.walk_files(repo.path))
    for path in {repo.path, *files, *(path.parent for path in files)}:
        with contextlib.suppress(OSError):
            if now - path.lstat().st_mtime < QUIET_S:
                return f"{path} was written a moment ago."
    users = open_files.users_of(files)
    if users:
        return f"{repo.path} is used by {', '.join(users)}."
    held = sorted(cache_dir.hub_locks(repo_id).glob("*.lock"))
    with locks.try_lock(cache_dir.path, *held) as is_free:
        return "" if is_free else f"A program downloads into {repo.path}."


def drop_brought(base: Base, repo_id: RepoId) -> Freed:
    """Delete a repository beside `hub` if everything in it is in `hub` as well; the caller holds its lock there.

    A ref may differ: models are registered with their commits, and the refs of `hub` stay as they are. So may a list of
    a commit's files that names no more than that of `hub`: only huggingface_hub writes what Xet calls each file.
    """
    cache_dir = CacheDir(base.path)
    source, target = cache_dir.repo(repo_id), base.repo(repo_id)
    for name, commit_hash in scan.refs(source).items():
        if is_folder(target.snapshot(commit_hash)):
            fs.remove_file(base.path, source.ref(name))
    listed = {source.tree(commit) for commit in scan.snapshots(source) if _is_listed(source, target, commit)}
    carrying = merge_folder.plan(source.path, target.path, cache_dir.hub, listed)
    if carrying.left or not all(piece.is_there for piece in carrying.pieces) or merge_folder.why_kept(carrying):
        return Freed()
    for path in listed:
        fs.remove_file(base.path, path)
    return merge_folder.drop(carrying, cache_dir)


def _is_listed(source: Repo, target: Repo, commit_hash: CommitHash) -> bool:
    """Return whether the target's list of a commit names every file of the source's."""
    files = set(trees.read(source, commit_hash))
    return bool(files) and files <= set(trees.read(target, commit_hash))


def drop_empty_store(base: Base, now: float) -> Freed:
    """Delete the shared store beside `hub` once it holds no payload, so that a view's file can take its name.

    Args:
        base: The base.
        now: The time, in seconds since 1970.
    """
    freed, store = Freed(), base.beside_store
    files = list(scan.walk_files(store)) if is_real_folder(store) else []
    holds_none = all(path.name == SHARED_MARKER or path.suffix == ".lock" for path in files)
    if files and holds_none and all(now - path.parent.lstat().st_mtime >= QUIET_S for path in files):
        for path in files:
            freed += fs.remove_file(base.path, path)
        freed += merge_folder.remove_empty_folders(base.path, store)
    return freed
