"""Repositories, revisions and snapshots on the tiers, for the hub face."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import COMMIT_HASH, CommitHash, RefName, RepoId, is_own_ref
from modelshelf.domain.repo_folders import parse_repo_folder
from modelshelf.errors import BadInput, NotFound, ShelfError, Unavailable
from modelshelf.store.layout import Base, Repo
from modelshelf.store.probe import is_file, is_folder, is_link
from modelshelf.store.repos import scan, trees
from modelshelf.store.small_files import read_small_text

_DEFAULT_REVISION = "main"
_NAMED = 8
"""How many revisions an error names."""


@dataclass(frozen=True)
class PlacedSnapshot:
    """The snapshot of a commit on one tier."""

    repo: Repo
    root: str
    """The real path of the tier's `hub`; nothing outside is served."""
    commit_hash: CommitHash

    def files(
        self, known: Container[str] = (), on_folder: Callable[[str], None] = lambda folder: None
    ) -> Iterator[tuple[str, str]]:
        """Yield the names in the snapshot with their paths on disk, without following links.

        Args:
            known: Names to leave out, which aren't looked at.
            on_folder: Called with the path of each folder before it is listed.
        """
        root = str(self.repo.snapshot(self.commit_hash))
        folders = [root]
        for folder in folders:  # grows
            on_folder(folder)
            prefix = f"{folder[len(root) + 1 :]}/" if folder != root else ""
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if name not in known and entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif name not in known:
                        yield name, entry.path

    @functools.cached_property
    def listed(self) -> dict[str, FileEntry]:
        """Return every file of the commit in this tier's list, on the tier or not; nothing without a list."""
        return {file.path: file for file in trees.read(self.repo, self.commit_hash)}

    @functools.cached_property
    def blobs(self) -> str:
        """The real path of its folder of blobs; empty where that is a link, or isn't in the tier's `hub`."""
        real = os.path.realpath(self.repo.blobs.parent)
        is_own = real.startswith(self.root + os.sep) and not is_link(Path(real) / "blobs")
        return f"{real}/blobs" if is_own else ""

    def is_recorded_absent(self, path: str) -> bool:
        """Return whether a client recorded that the commit has no such file."""
        return is_file(self.repo.no_exist(self.commit_hash) / path)


@dataclass(frozen=True, slots=True)
class ResolvedRevision:
    """A revision's commit, and the tiers that have it."""

    repo_id: str
    """In the tier's spelling."""
    commit_hash: CommitHash
    places: tuple[PlacedSnapshot, ...]
    """The tiers that have the snapshot, in the order of the bases; never empty."""
    modified_at: float
    """The newest mtime of the snapshot folders, in seconds since 1970."""


class HubRepos:
    """Look-ups over the bases as they are at the moment of the question; see `HubFace`."""

    def __init__(self, bases: Callable[[], Sequence[Base]], why_away: Callable[[str], str]) -> None:
        self._bases = bases
        self._why_away = why_away
        self._spellings = _Spellings()

    def resolve(self, repo_id: str, revision: str) -> ResolvedRevision:
        """Return the commit of a revision and the tiers that have its snapshot; see `HubFace.resolve`."""
        repos = self._repos(repo_id)
        for commit_hash in _commits([repo for _, _, repo in repos], revision):
            places, newest, spelled = [], 0.0, ""
            for stored, base, repo in repos:
                with contextlib.suppress(OSError):
                    found = repo.snapshot(commit_hash).stat()
                    if stat.S_ISDIR(found.st_mode):
                        places.append(PlacedSnapshot(repo, os.path.realpath(base.hub), commit_hash))
                        newest, spelled = max(newest, found.st_mtime), spelled or stored
            if places:
                return ResolvedRevision(spelled, commit_hash, tuple(places), newest)
        known = [name for name in self.refs(repo_id) if not COMMIT_HASH.fullmatch(name)]
        there = f" There is {', '.join(sorted(known)[:_NAMED])}." if known else ""
        missing = NotFound(
            f"No tier has the revision {revision!r} of {repo_id}.{there}",
            hint="Pull it first: shelf pull.",
            error_code="RevisionNotFound",
            hf_path=repo_id,
            revision=revision,
        )
        raise self.or_away(missing, repo_id)

    def refs(self, repo_id: str) -> dict[str, str]:
        """Return each revision that can be served, with its commit; see `HubFace.refs`."""
        repos = [repo for _, _, repo in self._repos(repo_id)]
        here = {commit_hash for repo in repos for commit_hash in scan.snapshots(repo)}
        found: dict[str, str] = {}
        for repo in repos:
            for revision, commit_hash in scan.refs(repo).items():
                if commit_hash in here and not is_own_ref(revision):
                    found.setdefault(revision, commit_hash)
        return found

    def ids(self) -> list[str]:
        """Return the repositories of all tiers that have a snapshot, by name; one spelling of each."""
        found: dict[str, str] = {}
        for base in self._bases():
            for repo_id in self._spellings.all(base):
                if repo_id.lower() not in found and scan.snapshots(base.repo(repo_id)):
                    found[repo_id.lower()] = repo_id
        return [found[key] for key in sorted(found)]

    def or_away(self, missing: ShelfError, repo_id: str) -> ShelfError:
        """Return NotFound, or Unavailable if an offline tier may have it: clients remember "not found" for good."""
        why = self._why_away(repo_id)
        return Unavailable(why, hint="Mount its drive.", hf_path=repo_id) if why else missing

    def _repos(self, repo_id: str) -> list[tuple[RepoId, Base, Repo]]:
        """Return a repository's folders, each with the id in the tier's spelling; never empty."""
        fields = {"error_code": "RepoNotFound", "hf_path": repo_id}
        try:
            asked = RepoId(repo_id)
        except BadInput as err:
            raise NotFound(err.detail, **fields) from err
        there = [
            (stored, base, base.repo(stored)) for base in self._bases() for stored in self._spellings.of(base, asked)
        ]
        if not there:
            missing = NotFound(f"No tier has the repository {repo_id}.", hint="Register it first: shelf add.", **fields)
            raise self.or_away(missing, repo_id)
        return there


class _Spellings:
    """The tiers' spellings of repository ids: the Hub takes `org/tiny` for `Org/Tiny`.

    The names of a `hub` folder are kept until its mtime changes.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, dict[str, list[RepoId]]]] = {}

    def of(self, base: Base, repo_id: RepoId) -> list[RepoId]:
        """Return the stored spellings of an id, the requested one first."""
        exact = [repo_id] if is_folder(base.repo(repo_id).path) else []
        return exact + [stored for stored in self._names(base).get(repo_id.lower(), []) if stored != repo_id]

    def all(self, base: Base) -> Iterable[RepoId]:
        """Return all ids of a tier."""
        return [stored for same in self._names(base).values() for stored in same]

    def _names(self, base: Base) -> dict[str, list[RepoId]]:
        try:
            changed_ns = base.hub.stat().st_mtime_ns
            known = self._known.get(base.path)
            if known is None or known[0] != changed_ns:
                known = self._known[base.path] = (changed_ns, _spelled(os.listdir(base.hub)))  # noqa: PTH208
        except OSError:
            return {}
        return known[1]


def _spelled(names: Iterable[str]) -> dict[str, list[RepoId]]:
    found: dict[str, list[RepoId]] = {}
    for name in sorted(names):
        parsed = parse_repo_folder(name)
        if parsed is not None and parsed[0] == "model":
            found.setdefault(parsed[1].lower(), []).append(parsed[1])
    return found


def _commits(repos: Sequence[Repo], revision: str) -> Iterator[CommitHash]:
    """Yield the commits that a revision may mean, the first base's first; `HEAD` is the default branch."""
    if COMMIT_HASH.fullmatch(revision):
        yield CommitHash(revision)
        return
    with contextlib.suppress(BadInput):
        name = RefName(_DEFAULT_REVISION if revision == "HEAD" else revision)
        for repo in repos:
            with contextlib.suppress(OSError, BadInput):
                yield CommitHash(read_small_text(repo.ref(name)).strip())
