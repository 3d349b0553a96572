"""The Hub's questions, answered from the bytes of every tier: read-only, offline, without the registry.

A stock cache says everything that the protocol needs: ETag = the blob's name, size = stat, commit = the snapshot's
folder, revision = a file in `refs`. A commit that lies on several tiers is answered with the union of its files; where
two tiers disagree about a ref, the first one that has the snapshot wins.

Nothing outside of a tier's `hub` folder is served, whatever a link says: beside it lie the user's token and our
registry.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.names import COMMIT_HASH, FilePath, RefName, RepoId, is_digest
from modelshelf.errors import BadInput, NotFound, Unavailable
from modelshelf.store import scan
from modelshelf.store.layout import Base, Repo

_LFS_FROM_BYTES = 10 * 10**6
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file of a commit that can be read now."""

    path: str
    """Its path in the repository."""
    disk_path: Path
    """Where its bytes lie; no part of it is a link."""
    size_bytes: int
    etag: str
    """Its digest: 64 hex of sha256 (LFS) or 40 hex of the git blob's sha1."""
    commit_hash: str

    @property
    def is_lfs(self) -> bool:
        """Whether the Hub keeps this file in LFS."""
        return len(self.etag) == 64


@dataclass(frozen=True)
class Place:
    """The snapshot of a commit on one tier."""

    repo: Repo
    root: str
    """The real path of the tier's `hub`; what lies outside of it is not served."""
    commit_hash: str

    @functools.cached_property
    def tree(self) -> dict[str, str] | None:
        """Every file of the commit with its digest, here or not; None when no list of them is here."""
        try:
            listing = json.loads(self.repo.tree(self.commit_hash).read_text(encoding="utf-8"))
            return {path: entry.get("lfs_sha256") or entry["blob_id"] for path, entry in listing["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def surely_lacks(self, path: str) -> bool:
        """Return whether the commit has no such file, rather than this tier."""
        if self.tree is not None:
            return path not in self.tree
        return (self.repo.no_exist(self.commit_hash) / path).is_file()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a revision means, and where it lies."""

    repo_id: str
    commit_hash: str
    places: tuple[Place, ...]
    """The tiers that have the snapshot, in the order of the bases; never empty."""
    modified_at: float
    """When the newest of the snapshot folders changed, in seconds since 1970."""


class HubFace:
    """Look-ups over the bases as they are at the moment of the question.

    **Concurrency:** safe from any thread; only the memory of computed digests is shared.

    Args:
        bases: Gives the bases to serve, fastest first.
        why_away: Says why copies of a repository cannot be read now (a drive that is not mounted); empty when none is.
    """

    def __init__(
        self, bases: Callable[[], Sequence[Base]], why_away: Callable[[str], str] = lambda repo_id: ""
    ) -> None:
        self._bases = bases
        self._why_away = why_away
        self._digests = _Digests()

    def resolve(self, repo_id: str, revision: str = "main") -> Resolved:
        """Return the commit of a revision and the tiers that have its snapshot.

        Raises:
            NotFound: RepoNotFound, or RevisionNotFound when no tier has a snapshot of it.
            Unavailable: A tier that may have it is offline.
        """
        repos = self._repos(repo_id)
        for commit_hash in _commits(repos, revision):
            places, newest = [], 0.0
            for base, repo in repos:
                with contextlib.suppress(OSError):
                    found = repo.snapshot(commit_hash).stat()
                    if stat.S_ISDIR(found.st_mode):
                        places.append(Place(repo, os.path.realpath(base.hub), commit_hash))
                        newest = max(newest, found.st_mtime)
            if places:
                return Resolved(repo_id, commit_hash, tuple(places), newest)
        missing = NotFound(
            f"No tier has the revision {revision!r} of {repo_id}.",
            hint="Pull it first: shelf pull.",
            error_code="RevisionNotFound",
            hf_path=repo_id,
            revision=revision,
        )
        raise self._or_away(missing, repo_id)

    def files(self, repo_id: str, commit_hash: str) -> list[FoundFile]:
        """Return the files of a commit that are here, by path; a partial snapshot has fewer than the commit.

        Raises:
            NotFound: RepoNotFound or RevisionNotFound.
        """
        found: dict[str, FoundFile] = {}
        for place in self.resolve(repo_id, commit_hash).places:
            for path, link in scan.snapshot_files(place.repo, place.commit_hash):
                if path not in found and (file := self._find(place, path, link)):
                    found[path] = file
        return [found[path] for path in sorted(found)]

    def file(self, repo_id: str, revision: str, path: str) -> FoundFile:
        """Return one file.

        Raises:
            NotFound: RepoNotFound, RevisionNotFound or EntryNotFound. The last carries `commit_hash` only when the
                commit surely has no such file: clients remember that for good, also for the real Hub, so a file that
                merely is not on our disks must not be denied that way.
        """
        resolved = self.resolve(repo_id, revision)
        fields = {"error_code": "EntryNotFound", "hf_path": repo_id, "path": path}
        try:
            FilePath(path)
        except BadInput as err:
            raise NotFound(err.detail, **fields) from err
        for place in resolved.places:
            link = place.repo.snapshot(place.commit_hash) / path
            if file := self._find(place, path, link):
                return file
        detail = f"{path!r} is not in {repo_id} at {resolved.commit_hash}."
        if any(place.surely_lacks(path) for place in resolved.places):
            raise NotFound(detail, **fields, commit_hash=resolved.commit_hash)
        raise self._or_away(NotFound(detail, **fields), repo_id)

    def refs(self, repo_id: str) -> dict[str, str]:
        """Return each revision that can be served, with its commit.

        Raises:
            NotFound: RepoNotFound.
        """
        repos = self._repos(repo_id)
        here = {commit_hash for _, repo in repos for commit_hash in scan.snapshots(repo)}
        found: dict[str, str] = {}
        for _, repo in repos:
            for revision, commit_hash in scan.refs(repo).items():
                if commit_hash in here:
                    found.setdefault(revision, commit_hash)
        return found

    def _repos(self, repo_id: str) -> list[tuple[Base, Repo]]:
        fields = {"error_code": "RepoNotFound", "hf_path": repo_id}
        try:
            RepoId(repo_id)
        except BadInput as err:
            raise NotFound(err.detail, **fields) from err
        repos = [(base, base.repo(repo_id)) for base in self._bases()]
        there = [(base, repo) for base, repo in repos if repo.path.is_dir()]
        if not there:
            missing = NotFound(f"No tier has the repository {repo_id}.", hint="Register it first: shelf add.", **fields)
            raise self._or_away(missing, repo_id)
        return there

    def _or_away(self, missing: NotFound, repo_id: str) -> NotFound | Unavailable:
        """Return the error for what no tier has, or may have that is away: clients remember "not found" for good."""
        why = self._why_away(repo_id)
        return Unavailable(why, hint="Mount its drive.", hf_path=repo_id) if why else missing

    def _find(self, place: Place, path: str, link: Path) -> FoundFile | None:
        """Return the file that a snapshot's path leads to; None when it leads nowhere or out of the tier."""
        real = os.path.realpath(link)
        if not real.startswith(place.root + os.sep):
            return None
        try:
            found = os.stat(real, follow_symlinks=False)  # noqa: PTH116 - a Path per file costs three times the call
            if not stat.S_ISREG(found.st_mode):
                return None
            digest = scan.blob_of(place.repo, link) or ""
            if not is_digest(digest):
                # No link into `blobs`: a file system without symlinks, where the snapshot holds the bytes themselves.
                digest = (place.tree or {}).get(path) or self._digests.of(real, found)
        except OSError:
            return None
        return FoundFile(path, Path(real), found.st_size, digest, place.commit_hash)


def _commits(repos: Sequence[tuple[Base, Repo]], revision: str) -> Iterator[str]:
    """Yield the commits that a revision may mean, the first base's first."""
    if COMMIT_HASH.fullmatch(revision):
        yield revision
        return
    with contextlib.suppress(BadInput):
        RefName(revision)
        for _, repo in repos:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                text = repo.ref(revision).read_text(encoding="ascii").strip()
                if COMMIT_HASH.fullmatch(text):
                    yield text


class _Digests:
    """Digests that no name tells, computed once for a path, size and mtime."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], str] = {}
        self._computing = threading.Lock()

    def of(self, path: str, found: os.stat_result) -> str:
        key = (path, found.st_size, found.st_mtime_ns)
        if known := self._known.get(key):
            return known
        with self._computing:  # one at a time: two requests for a file would read it twice
            if key not in self._known:
                self._known[key] = _digest(path, found.st_size)
        return self._known[key]


def _digest(path: str, size_bytes: int) -> str:
    """Return what the Hub would call a file: it takes nothing above 10 MB outside of LFS."""
    hasher = hashlib.sha256() if size_bytes > _LFS_FROM_BYTES else hashlib.sha1(b"blob %d\0" % size_bytes)
    with Path(path).open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
