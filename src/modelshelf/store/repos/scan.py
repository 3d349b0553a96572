"""What is in one base, by names and sizes; nothing is read or changed, and no fault ends the scan."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CLUTTER, COMMIT_HASH, CommitHash, Digest, RefName, RepoId, is_digest
from modelshelf.domain.repo_folders import looks_like_repo, parse_repo_folder
from modelshelf.errors import BadInput
from modelshelf.store import fs
from modelshelf.store.layout import Base, Repo
from modelshelf.store.listing import Listing
from modelshelf.store.probe import is_folder
from modelshelf.store.small_files import read_small_text

_REF_BYTES = 4096


def blob_sizes(repo: Repo, listing: Listing | None = None) -> dict[Digest, int]:
    """Return the blobs of a repository, digest to size in bytes; a link into the shared store is followed.

    A dangling link is left out, and so is one of a view, whose bytes are elsewhere.

    Args:
        repo: The repository.
        listing: What was seen of it already.
    """
    sizes: dict[Digest, int] = {}
    with contextlib.suppress(FileNotFoundError):
        blobs = [entry for entry in (listing or Listing()).entries(str(repo.blobs)) if is_digest(entry.name)]
        for digest, entry in zip(Digest.each([entry.name for entry in blobs]), blobs, strict=True):
            if not (entry.is_symlink() and leads_out(entry.path, hub_of(repo))):
                with contextlib.suppress(OSError):
                    found = entry.stat()
                    if stat.S_ISREG(found.st_mode):
                        sizes[digest] = found.st_size
    return sizes


def has_blob(repo: Repo, digest: Digest, size_bytes: int) -> bool:
    """Return whether a repository has a blob of this size in its own base."""
    path = str(repo.blob(digest))
    try:
        found = os.stat(path)  # noqa: PTH116 - one string for both questions
    except OSError:
        return False
    is_right = stat.S_ISREG(found.st_mode) and found.st_size == size_bytes
    return is_right and not (os.path.islink(path) and leads_out(path, hub_of(repo)))  # noqa: PTH114


def viewed(repo: Repo, listing: Listing | None = None) -> frozenset[Digest]:
    """Return the digests whose blobs are links that lead out of the base: a view's, whoever made it.

    Such a blob is never a copy: its bytes are another tier's, and may not be there.

    Args:
        repo: The repository.
        listing: What was seen of it already.
    """
    with contextlib.suppress(OSError):
        links = (entry for entry in (listing or Listing()).entries(str(repo.blobs)) if entry.is_symlink())
        named = [entry for entry in links if is_digest(entry.name)]
        hub = hub_of(repo) if named else ""
        return frozenset(Digest(entry.name) for entry in named if leads_out(entry.path, hub))
    return frozenset()


def hub_of(repo: Repo) -> str:
    """Return the real path of the folder that holds a repository's: no blob's bytes are outside of it."""
    return os.path.realpath(repo.path.parent)


def leads_out(link: str, hub: str) -> bool:
    """Return whether a link leads out of a folder, a real path, to something or to nothing.

    >>> leads_out("/proc/self/exe", "/proc"), leads_out("/proc/self", "/proc")
    (True, False)
    """
    return not os.path.realpath(link).startswith(f"{hub}/")


def missing_files(repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry]) -> list[FileEntry]:
    """Return a commit's files whose snapshot path doesn't lead to a file of their size in this base."""
    snapshot, elsewhere = str(repo.snapshot(commit_hash)), viewed(repo)
    missing = []
    for file in files:
        try:
            found = os.stat(f"{snapshot}/{file.path}")  # noqa: PTH116 - a Path per file costs three times the call
            is_right = stat.S_ISREG(found.st_mode) and found.st_size == file.size_bytes
            there = is_right and file.digest not in elsewhere
        except OSError:
            there = False
        if not there:
            missing.append(file)
    return missing


def signature(repo: Repo, commit_hash: CommitHash, listing: Listing | None = None) -> str:
    """Return a token that changes when a name in the snapshot's folder or among the blobs comes or goes.

    With it a list of models can trust an earlier full scan; empty if the folders don't exist.

    Args:
        repo: The repository.
        commit_hash: The snapshot's commit.
        listing: What was seen of it already.
    """
    snapshot, blobs = repo.folders_of(commit_hash)
    try:
        return signature_of(_folder_status(snapshot, listing), _folder_status(blobs, listing))
    except OSError:
        return ""


def _folder_status(path: str, listing: Listing | None) -> os.stat_result:
    entry = listing.folder(path) if listing is not None else None
    return os.stat(path) if entry is None else entry.stat()  # noqa: PTH116 - asked for each model of a library


def signature_of(snapshot: os.stat_result, blobs: os.stat_result) -> str:
    """Return the value of `signature` for folders whose metadata was already read."""
    return f"{snapshot.st_mtime_ns}:{blobs.st_mtime_ns}"


def repos(base: Base, listing: Listing | None = None) -> list[tuple[str, RepoId, Repo]]:
    """Return every repository's folder in a base as (type, id, folder), by name; see `strange_repos` for the others.

    Args:
        base: The base.
        listing: What was seen of it already.
    """
    return [(kind, repo_id, Repo(path, base.path)) for kind, repo_id, path in repo_folders(base, listing)]


def repo_folders(base: Base, listing: Listing | None = None) -> list[tuple[str, RepoId, str]]:
    """Return every repository's folder in a base as (type, id, path), by name; see `repos`."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in (listing or Listing()).entries(str(base.hub)):
            parsed = parse_repo_folder(entry.name)
            if parsed is not None and entry.is_dir(follow_symlinks=False):
                found.append((*parsed, entry.path))
    return sorted(found)


def strange_repos(base: Base, listing: Listing | None = None) -> list[Repo]:
    """Return a base's folders that are named like a repository's and have no valid id, by name.

    They are only measured: nothing is registered, deleted or shared there.

    Args:
        base: The base.
        listing: What was seen of it already.
    """
    found = [entry for entry in (listing or Listing()).below(str(base.hub)) if parse_repo_folder(entry.name) is None]
    return [Repo(entry.path, base.path) for entry in found if looks_like_repo(entry.name)]


def snapshots(repo: Repo, listing: Listing | None = None) -> list[CommitHash]:
    """Return the commits that have a snapshot folder.

    Args:
        repo: The repository.
        listing: What was seen of it already.
    """
    with contextlib.suppress(FileNotFoundError):
        entries = (listing or Listing()).entries(repo.folders.snapshots)
        return sorted(CommitHash(entry.name) for entry in entries if COMMIT_HASH.fullmatch(entry.name))
    return []


def snapshot_files(repo: Repo, commit_hash: CommitHash) -> Iterator[tuple[str, Path]]:
    """Yield every file of a snapshot as (path in the repository, path on disk), with sub-folders."""
    root = repo.snapshot(commit_hash)
    for path in walk_files(root):
        yield path.relative_to(root).as_posix(), path


def snapshot_names(repo: Repo, commit_hash: CommitHash) -> Iterator[str]:
    """Yield the path in the repository of every file of a snapshot, with sub-folders, in no order."""
    root = f"{repo.snapshots}/{commit_hash}"
    for entry in Listing().walk(root):
        if not entry.is_dir(follow_symlinks=False):
            yield entry.path.removeprefix(f"{root}/")


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every file and link below a folder; no link is followed, and what can't be read is left out."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from walk_files(Path(entry.path))
        else:
            yield Path(entry.path)


def refs(repo: Repo) -> dict[RefName, CommitHash]:
    """Return a repository's refs, revision to commit; other tools' trailing newline is accepted."""
    return {revision: CommitHash(text) for revision, text in ref_texts(repo).items() if COMMIT_HASH.fullmatch(text)}


def ref(repo: Repo, revision: RefName) -> CommitHash | None:
    """Return the commit that a repository's ref names; None without such a ref."""
    text = _ref_text(str(repo.ref(revision)))
    return CommitHash(text) if COMMIT_HASH.fullmatch(text) else None


def ref_texts(repo: Repo, listing: Listing | None = None) -> dict[RefName, str]:
    """Return the content of a repository's refs, a commit or not; empty for one that can't be read.

    Our killed writes' leftovers aren't refs (a move would bring them along), nor are files that no
    revision can be named after, such as `.DS_Store`.

    Args:
        repo: The repository.
        listing: What was seen of it already.
    """
    found: dict[RefName, str] = {}
    above = f"{repo.folders.refs}/"
    for entry in (listing or Listing()).walk(repo.folders.refs):
        name = entry.name
        if entry.is_dir(follow_symlinks=False) or name.endswith(fs.TEMPORARY) or CLUTTER.fullmatch(name):
            continue
        with contextlib.suppress(BadInput):
            found[RefName(entry.path.removeprefix(above))] = _ref_text(entry.path)
    return found


def _ref_text(path: str) -> str:
    try:
        return read_small_text(path, _REF_BYTES).strip()
    except (OSError, BadInput):
        return ""


def blob_of(repo: Repo, link: Path) -> Digest | None:
    """Return the digest of the blob that a snapshot's link points to; None if it leads to none in `blobs`."""
    try:
        target = Path(os.path.normpath(link.parent / link.readlink()))
    except OSError:
        return None
    is_ours = target.parent == Path(os.path.normpath(repo.blobs)) or is_same(target.parent, repo.blobs)
    return Digest(target.name) if is_ours and is_digest(target.name) else None


def file_paths(repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry]) -> Iterator[str]:
    """Yield every path by which programs open a commit's files: in the snapshot, and the blobs."""
    snapshot, blobs = str(repo.snapshot(commit_hash)), str(repo.blobs)
    for file in files:
        yield f"{snapshot}/{file.path}"
        yield f"{blobs}/{file.digest}"


def is_same(path: Path, other: Path) -> bool:
    """Return whether two paths lead to one file or folder; False if either is gone."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def may_read(path: Path) -> bool:
    """Return whether this user may read a file, or list and enter a folder; False if that can't be told."""
    effective = os.access in os.supports_effective_ids
    mode = os.R_OK | (os.X_OK if is_folder(path) else 0)
    return os.access(path, mode, effective_ids=effective)


def stamp(path: Path | str) -> str:
    """Return a stamp that says whether a file was written since: its size and mtime; empty if it is gone."""
    try:
        return stamp_of(os.stat(path))  # noqa: PTH116 - a Path for each of a library's files
    except OSError:
        return ""


def stamp_of(found: os.stat_result) -> str:
    """Return the stamp of a file whose metadata was already read."""
    return f"{found.st_size}:{found.st_mtime_ns}"


def linked_digests(repo: Repo) -> set[Digest]:
    """Return the digests of the blobs that any snapshot links to."""
    links = (path for commit_hash in snapshots(repo) for _, path in snapshot_files(repo, commit_hash))
    return {digest for path in links if (digest := blob_of(repo, path))}
