"""Removing a model's files: what goes, what stays because something else needs it, and the deletion itself."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest, RepoId
from modelshelf.domain.outcomes import Freed
from modelshelf.domain.plans import RemovalPlan
from modelshelf.domain.views import Entry, Link
from modelshelf.errors import Conflict
from modelshelf.store import fs, ownership
from modelshelf.store.blobs import shared_store
from modelshelf.store.blobs.partial import written_bytes
from modelshelf.store.layout import Base, Repo
from modelshelf.store.locks import try_lock
from modelshelf.store.probe import is_link, is_there
from modelshelf.store.repos import scan

_LOCKS_AT_ONCE = 200
"""Each lock is an open file, and a process has about 1,000."""


def plan_removal(
    base: Base,
    repo_id: RepoId,
    commit_hash: CommitHash,
    files: Iterable[FileEntry],
    keep: Collection[str],
    keep_digests: Collection[str] = (),
    views: Mapping[str, Entry] | None = None,
) -> RemovalPlan:
    """Return what removing `files` of one commit deletes.

    Args:
        base: The tier's base.
        repo_id: The repository.
        commit_hash: The commit.
        files: The model's own files.
        keep: Paths of the same commit that another registered model needs.
        keep_digests: Blobs that registered models of other commits need, linked yet or not.
        views: By path, what a view has in the repository: it keeps no bytes here, and takes the place of what goes.

    Raises:
        Conflict: A folder of the repository is a link, whose target may be another's.
        Denied: Another user wrote there, and it can't be deleted.
    """
    repo, views = base.repo(repo_id), views or {}
    check_no_links(repo, commit_hash)
    ownership.check_changeable(base, repo_id)
    files = list(files)
    going = {file.path for file in files} - set(keep)
    links, rest = _divided(repo, commit_hash, going)
    mine = {file.digest for file in files if file.path in going} | _blobs_of(repo, links)
    kept = {file.digest for file in files if file.path in keep}
    others = [path for path in (*rest, *_of_other_commits(repo, commit_hash)) if str(path) not in views]
    digests = sorted(mine - kept - set(keep_digests) - _blobs_of(repo, others))
    blobs = [blob for digest in digests if is_there(blob := repo.blob(digest))]
    refs, extras = ([], []) if rest else _descriptions(repo, commit_hash)
    return RemovalPlan(
        repo_id=repo_id,
        refs=_texts(refs),
        links=_texts(links),
        blobs=_texts(blobs),
        parts=tuple(digest for digest in digests if is_there(base.part(digest))),
        extras=_texts(extras),
        folders=_texts(_folders(repo, commit_hash, [repo.snapshot(commit_hash) / name for name in going])),
        shared_payloads=_texts(payload for blob in blobs if (payload := shared_store.payload_of(base, blob))),
        free_bytes=sum(_free_bytes(base, path) for path in (*links, *blobs))
        + sum(written_bytes(base.part(digest)) for digest in digests),
        views=views,
    )


def _divided(repo: Repo, commit_hash: CommitHash, going: Collection[str]) -> tuple[list[Path], list[Path]]:
    """Return the files of a snapshot that go, and those that stay."""
    links, rest = list[Path](), list[Path]()
    for name, path in scan.snapshot_files(repo, commit_hash):
        (links if name in going else rest).append(path)
    return links, rest


def _of_other_commits(repo: Repo, commit_hash: CommitHash) -> Iterator[Path]:
    for other in scan.snapshots(repo):
        if other != commit_hash:
            yield from (path for _, path in scan.snapshot_files(repo, other))


def _blobs_of(repo: Repo, links: Iterable[Path]) -> set[Digest]:
    return {digest for path in links if (digest := scan.blob_of(repo, path))}


def _descriptions(repo: Repo, commit_hash: CommitHash) -> tuple[list[Path], list[Path]]:
    """Return the refs to a commit, and what else describes it."""
    refs = [repo.ref(ref) for ref, commit in scan.refs(repo).items() if commit == commit_hash]
    extras = [repo.tree(commit_hash), repo.no_exist(commit_hash), *_torn(repo)]
    return refs, [path for path in extras if is_there(path)]


def check_no_links(repo: Repo, commit_hash: CommitHash) -> None:
    """Raise unless a repository's folders are real folders.

    Raises:
        Conflict: One is a link, whose target may be another tier's.
    """
    inner = (
        repo.blobs,
        repo.snapshots,
        repo.snapshot(commit_hash),
        repo.refs,
        repo.trees,
        repo.absences,
    )
    for folder in (repo.path, *inner):
        if is_link(folder):
            raise Conflict(
                f"{folder} is a link to {folder.readlink()}; nothing behind it is touched.",
                hint="Remove the link by hand, or keep the files.",
                path=str(folder),
            )


def execute(base: Base, plan: RemovalPlan) -> Freed:
    """Delete what the plan names; return what that freed, measured.

    **Crash:** refs go first, then links, then blobs, so that nothing left points to something deleted;
    what is left is garbage that `gc` finds.
    """
    freed = Freed()
    for path in (*plan.refs, *plan.links):
        freed += _remove(base, plan, Path(path))
    freed += _remove_blobs(base, plan)
    for digest in plan.parts:
        with try_lock(base.path, base.part_lock(digest)) as free:
            if free:  # another model's pull may work on the same blob
                freed += fs.remove_file(base.path, base.part_map(digest))
                freed += fs.remove_file(base.path, base.part(digest))
    for path in plan.shared_payloads:
        freed += shared_store.sweep(base, Path(path))
    for path in plan.extras:
        freed += _remove(base, plan, Path(path)) if path in plan.views else fs.remove_tree(base.path, Path(path))
    for path in plan.folders:
        freed += fs.remove_empty_folder(base.path, Path(path))
    return freed


def _remove(base: Base, plan: RemovalPlan, path: Path) -> Freed:
    """Delete a file or a link, or put a view's in its place in one step; return what that freed."""
    entry = plan.views.get(str(path))
    if entry is None:
        return fs.remove_file(base.path, path)
    freed = Freed()
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            freed = Freed(found.st_size, found.st_blocks * 512)
    if isinstance(entry, Link):
        if not (is_link(path) and str(path.readlink()) == entry.target):
            fs.make_link(base.path, path, entry.target)
    else:
        fs.write_text(base.path, path, entry.content)
    return freed


def _remove_blobs(base: Base, plan: RemovalPlan) -> Freed:
    """Delete the blobs that no snapshot links to at this moment.

    **Concurrency:** huggingface_hub links to an existing blob under the blob's lock. While we hold that lock, a blob
    found unlinked stays unlinked until deleted; a blob whose lock is taken is left for `gc`.
    """
    freed = Freed()
    repo = base.repo(plan.repo_id)
    for start in range(0, len(plan.blobs), _LOCKS_AT_ONCE):
        with contextlib.ExitStack() as locks:
            paths = map(Path, plan.blobs[start : start + _LOCKS_AT_ONCE])
            free = [
                p
                for p in paths
                if locks.enter_context(try_lock(base.path, base.hub_lock(plan.repo_id, Digest(p.name))))
            ]
            linked = scan.linked_digests(repo, plan.views)
            for path in free:
                if path.name not in linked:
                    freed += _remove(base, plan, path)
    return freed


def leaving_bytes(base: Base, plan: RemovalPlan) -> int:
    """Return by how much a base's usage falls when a plan is carried out.

    Beyond what that frees on the disk it counts files whose other names are outside the base, as in the base that
    they are moving to.
    """
    going: dict[tuple[int, int], list[int]] = {}
    for path in map(Path, (*plan.links, *plan.blobs)):
        found = path.lstat()
        if found.st_nlink > 1 and not is_link(path):
            going.setdefault((found.st_dev, found.st_ino), []).append(found.st_size)
    if not going:
        return plan.free_bytes
    inside = Counter(_identities(base))
    return plan.free_bytes + sum(sizes[0] for file, sizes in going.items() if inside[file] <= len(sizes))


@dataclass(frozen=True, slots=True)
class OnlySnapshot:
    """The only snapshot of a repository, whose blobs have no other use."""

    size_bytes: int
    """What its blobs have together, all of which its removal frees."""
    files: frozenset[tuple[int, int]]
    """Device and inode of each blob."""


def only_snapshot(base: Base, repo_id: RepoId, commit_hash: CommitHash) -> OnlySnapshot | None:
    """Return a snapshot if it is the only one of its repository; None if `plan_removal` has to look closer.

    Raises:
        Conflict, Denied: As `plan_removal` does.
    """
    repo, found = base.repo(repo_id), list[os.stat_result]()
    check_no_links(repo, commit_hash)
    ownership.check_changeable(base, repo_id)
    if scan.snapshots(repo) != [commit_hash]:
        return None
    with contextlib.suppress(FileNotFoundError), os.scandir(repo.blobs) as entries:
        found = [entry.stat(follow_symlinks=False) for entry in entries]
    if any(blob.st_nlink != 1 or not stat.S_ISREG(blob.st_mode) for blob in found):
        return None
    return OnlySnapshot(sum(blob.st_size for blob in found), frozenset((blob.st_dev, blob.st_ino) for blob in found))


def has_other_names(plan: RemovalPlan) -> bool:
    """Return whether a deleted file has another hard link, so that its bytes stay."""
    paths = [path for path in map(Path, (*plan.links, *plan.blobs)) if not is_link(path)]
    return any(path.lstat().st_nlink > 1 for path in paths if is_there(path))


def _identities(base: Base) -> Iterator[tuple[int, int]]:
    for path in scan.walk_files(base.hub):
        with contextlib.suppress(OSError):
            found = path.lstat()
            yield found.st_dev, found.st_ino


def _free_bytes(base: Base, path: Path) -> int:
    payload = shared_store.payload_of(base, path)
    if payload is not None and shared_store.is_last_link(base, payload, path):
        return payload.lstat().st_size
    found = path.lstat()
    return found.st_size if found.st_nlink == 1 and not is_link(path) else 0


def _folders(repo: Repo, commit_hash: CommitHash, links: Iterable[Path]) -> list[Path]:
    """Return the folders that may be empty afterwards, deepest first.

    This includes those of deleted links and refs: a removal that was killed after them left its folders.
    """
    snapshot = repo.snapshot(commit_hash)
    inner = {folder for link in links for folder in takewhile(lambda folder: folder != snapshot, link.parents)}
    ref_folders = {Path(folder) for folder, _, _ in os.walk(repo.refs)} - {repo.refs}
    deepest_first = sorted(inner | ref_folders, key=lambda folder: -len(folder.parts))
    above = [snapshot, repo.snapshots, repo.blobs, repo.refs, repo.trees, repo.absences, repo.path]
    return [*deepest_first, *above]


def _torn(repo: Repo) -> list[Path]:
    """Return what our killed writes left beside refs and lists of files, under the repository's lock."""
    found = (path for folder in (repo.refs, repo.trees) for path in scan.walk_files(folder))
    return [path for path in found if path.name.endswith(fs.TEMPORARY)]


def _texts(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(str(path) for path in paths)
