"""Removing a model's files: what goes, what stays because something else needs it, and the deletion itself."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelshelf.domain.freed import Freed
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest, RepoId
from modelshelf.domain.plans import RemovalPlan
from modelshelf.domain.views import Entry, Link
from modelshelf.errors import Conflict, OutOfSpace
from modelshelf.store import fs, ownership
from modelshelf.store.blobs import partial, shared_store
from modelshelf.store.layout import Base, Repo
from modelshelf.store.listing import Listing
from modelshelf.store.locks import free_locks, try_lock
from modelshelf.store.probe import is_link, is_there
from modelshelf.store.repos import scan
from modelshelf.store.repos.names import RepoNames, SnapshotFile

_IS_LINK = os.DirEntry.is_symlink
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
    names, files = RepoNames(repo), list(files)
    going = {file.path for file in files} - set(keep)
    links, rest = _divided(names.snapshot(commit_hash).files, going)
    mine = {file.digest for file in files if file.path in going} | _blobs_of(links)
    kept = {file.digest for file in files if file.path in keep}
    others = (file for other in names.commits if other != commit_hash for file in names.snapshot(other).files)
    linked = _blobs_of(file for file in (*rest, *others) if file.place not in views)
    digests = sorted(mine - kept - set(keep_digests) - linked)
    blobs = [blob for digest in digests if (blob := names.blob_entries.get(digest))]
    parts = partial.written(base)
    refs, extras = ([], []) if rest else _descriptions(repo, commit_hash)
    return RemovalPlan(
        repo_id=repo_id,
        refs=_texts(refs),
        links=tuple(link.place for link in links),
        blobs=tuple(blob.path for blob in blobs),
        parts=tuple(digest for digest in digests if digest in parts),
        extras=_texts(extras),
        folders=_texts(_folders(repo, commit_hash, going)),
        shared_payloads=_texts(payload for blob in blobs if (payload := _payload_of(base, blob))),
        free_bytes=sum(_own_bytes(os.lstat(link.place)) for link in links if link.link is None)
        + sum(_free_bytes(base, blob) for blob in blobs)
        + sum(parts.get(digest, 0) for digest in digests),
        views=views,
    )


def _divided(found: Iterable[SnapshotFile], going: Container[str]) -> tuple[list[SnapshotFile], list[SnapshotFile]]:
    """Return the files of a snapshot that go, and those that stay."""
    links, rest = list[SnapshotFile](), list[SnapshotFile]()
    for file in found:
        (links if file.name in going else rest).append(file)
    return links, rest


def _blobs_of(links: Iterable[SnapshotFile]) -> set[Digest]:
    return {file.digest for file in links if file.digest}


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
    freed = _remove(base, plan, (*plan.refs, *plan.links))
    freed += _remove_blobs(base, plan)
    for digest in plan.parts:
        with try_lock(base.path, base.part_lock(digest)) as free:
            if free:  # another model's pull may work on the same blob
                freed += fs.remove_file(base.path, base.part_map(digest))
                freed += fs.remove_file(base.path, base.part(digest))
    for path in plan.shared_payloads:
        freed += shared_store.sweep(base, Path(path))
    for path in plan.extras:
        freed += _remove(base, plan, [path]) if path in plan.views else fs.remove_tree(base.path, Path(path))
    for path in plan.folders:
        freed += fs.remove_empty_folder(base.path, Path(path))
    return freed


def _remove(base: Base, plan: RemovalPlan, paths: Sequence[str]) -> Freed:
    """Delete files and links, or put a view's in their place in one step; return what that freed."""
    freed = fs.remove_files(base.path, [Path(path) for path in paths if path not in plan.views])
    return sum((_put(base, Path(path), plan.views[path]) for path in paths if path in plan.views), start=freed)


def _put(base: Base, path: Path, entry: Entry) -> Freed:
    """Let what a view has take the place of a file or a link; return what that freed.

    On a full disk that file goes without it: the view is made true afterwards, in the room that this leaves.
    """
    freed = Freed()
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if size_bytes := _own_bytes(found):
            freed = Freed(size_bytes, found.st_blocks * 512)
    try:
        if not isinstance(entry, Link):
            fs.write_text(base.path, path, entry.content)
        elif not (is_link(path) and str(path.readlink()) == entry.target):
            fs.make_link(base.path, path, entry.target)
    except OutOfSpace:
        fs.remove_file(base.path, path)
    return freed


def _remove_blobs(base: Base, plan: RemovalPlan) -> Freed:
    """Delete the blobs that no snapshot links to at this moment.

    **Concurrency:** huggingface_hub links to an existing blob under the blob's lock. While we hold that lock, a blob
    found unlinked stays unlinked until deleted; a blob whose lock is taken is left for `gc`.
    """
    freed = Freed()
    for start in range(0, len(plan.blobs), _LOCKS_AT_ONCE):
        paths = plan.blobs[start : start + _LOCKS_AT_ONCE]
        digests = dict(zip(paths, Digest.each([path.rpartition("/")[2] for path in paths]), strict=True))
        locks = {base.hub_lock(plan.repo_id, digest): path for path, digest in digests.items()}
        with free_locks(base.path, list(locks)) as held:
            now = RepoNames(base.repo(plan.repo_id))
            linked = _blobs_of(
                file for commit in now.commits for file in now.snapshot(commit).files if file.place not in plan.views
            )
            freed += _remove(base, plan, [locks[lock] for lock in held if digests[locks[lock]] not in linked])
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


def only_snapshot(repo: Repo, commit_hash: CommitHash, listing: Listing | None = None) -> OnlySnapshot | None:
    """Return a snapshot if it is the only one of its repository and can be removed.

    None if `plan_removal` has to look closer, or to say why it can't.

    Args:
        repo: The repository.
        commit_hash: The snapshot's commit.
        listing: What was seen of it already.
    """
    listing = listing or Listing()
    commits = listing.readable(repo.folders.snapshots)
    is_linked = os.path.islink(repo.folder)  # noqa: PTH114 - one of many
    if is_linked or any(map(_IS_LINK, (*listing.readable(repo.folder), *commits))):
        return None
    if [entry.name for entry in commits] != [commit_hash] or ownership.why_not_changeable(repo, listing):
        return None
    found = [entry.stat(follow_symlinks=False) for entry in listing.readable(repo.folders.blobs)]
    if any(blob.st_nlink != 1 or not stat.S_ISREG(blob.st_mode) for blob in found):
        return None
    return OnlySnapshot(sum(blob.st_size for blob in found), frozenset((blob.st_dev, blob.st_ino) for blob in found))


def has_other_names(plan: RemovalPlan) -> bool:
    """Return whether a deleted file has another hard link, so that its bytes stay."""
    for path in (*plan.links, *plan.blobs):
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(path)
            if found.st_nlink > 1 and not stat.S_ISLNK(found.st_mode):
                return True
    return False


def _identities(base: Base) -> Iterator[tuple[int, int]]:
    for path in scan.walk_files(base.hub):
        with contextlib.suppress(OSError):
            found = path.lstat()
            yield found.st_dev, found.st_ino


def _payload_of(base: Base, entry: os.DirEntry[str]) -> Path | None:
    return shared_store.payload_of(base, Path(entry.path)) if entry.is_symlink() else None


def _free_bytes(base: Base, blob: os.DirEntry[str]) -> int:
    payload = _payload_of(base, blob)
    if payload is not None and shared_store.is_last_link(base, payload, Path(blob.path)):
        return payload.lstat().st_size
    return _own_bytes(blob.stat(follow_symlinks=False))


def _own_bytes(found: os.stat_result) -> int:
    """Return what deleting a name frees: the size of a file without another hard link."""
    return found.st_size if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else 0


def _folders(repo: Repo, commit_hash: CommitHash, names: Iterable[str]) -> list[Path]:
    """Return the folders that may be empty afterwards, deepest first.

    This includes those of deleted links and refs: a removal that was killed after them left its folders.
    """
    snapshot = repo.snapshot(commit_hash)
    inner_names = {PurePosixPath(folder) for folder in {name.rpartition("/")[0] for name in names} - {""}}
    inner = {snapshot / part for name in inner_names for part in (name, *name.parents[:-1])}
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
