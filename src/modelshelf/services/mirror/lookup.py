"""The Hub's questions, answered from the bytes of every tier: read-only, offline, without the registry.

A stock cache has everything that the protocol needs: ETag = the blob's name, size = stat, commit = the snapshot's
folder, revision = a file in `refs`. A commit on several tiers is answered with the union of its files and lists; if
two tiers disagree about a ref, the first one that has the snapshot wins.

Nothing outside a tier's `hub` folder is served, wherever a link leads: beside it are the user's token and our
registry.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NoReturn

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import FilePath, is_digest
from modelshelf.errors import BadInput, Conflict, NotFound
from modelshelf.services.mirror.contents import Contents, ContentsMemory, FolderTimes, ServedFile
from modelshelf.services.mirror.file_digests import FileDigests
from modelshelf.services.mirror.repositories import HubRepos, PlacedSnapshot, ResolvedRevision
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan

_path_of = attrgetter("path")


class HubFace:
    """Look-ups over the bases as they are at the moment of the question.

    **Concurrency:** safe from any thread; only the memory of computed digests and of spellings is shared.

    Args:
        bases: Returns the bases to serve, fastest first.
        why_away: Returns why copies of a repository can't be read now (an unmounted drive); empty if all can.
    """

    def __init__(
        self, bases: Callable[[], Sequence[Base]], why_away: Callable[[str], str] = lambda repo_id: ""
    ) -> None:
        self._repos = HubRepos(bases, why_away)
        self._digests = FileDigests()
        self._memory = ContentsMemory()

    def for_caller(self, token: str) -> HubFace:
        """Return itself: whoever passed the key may read what is here."""
        return self

    @property
    def here(self) -> HubFace:
        """What the tiers hold: all that this face knows."""
        return self

    def resolve(self, repo_id: str, revision: str = "main") -> ResolvedRevision:
        """Return the commit of a revision and the tiers that have its snapshot.

        Raises:
            NotFound: RepoNotFound, or RevisionNotFound if no tier has a snapshot of it.
            Unavailable: A tier that may have it is offline.
        """
        return self._repos.resolve(repo_id, revision)

    def refs(self, repo_id: str) -> dict[str, str]:
        """Return each revision that can be served, with its commit.

        Raises:
            NotFound: RepoNotFound.
        """
        return self._repos.refs(repo_id)

    def repo_ids(self) -> list[str]:
        """Return the ids of the repositories that have a snapshot, by name."""
        return self._repos.ids()

    def contents(self, resolved: ResolvedRevision) -> Contents:
        """Return the files of a commit, including those that only its lists name.

        A commit never changes, so it has what any tier's list names. A snapshot that holds more than all lists name
        shows that they are short.
        """
        kept = self._memory.get(resolved)
        if kept is not None:
            return kept
        mtimes = FolderTimes(resolved)
        found = _lists(resolved)
        more = list(self._here(resolved, found, mtimes))
        listed = (_listed(file, resolved.commit_hash) for file in found.values())
        contents = Contents(sorted([*listed, *more], key=_path_of), whole=bool(found) and not more)
        self._memory.keep(resolved, contents, mtimes)
        return contents

    def files_to_give(self, resolved: ResolvedRevision) -> list[ServedFile]:
        """Return the files of a commit that can be read now, by path; a partial snapshot has fewer than the commit."""
        return sorted(self._here(resolved, ()), key=_path_of)

    def _here(
        self, resolved: ResolvedRevision, known: Iterable[str], mtimes: FolderTimes | None = None
    ) -> Iterator[ServedFile]:
        """Yield the files in the snapshots that aren't known yet; what they depend on is noted."""
        seen, mtimes = set(known), mtimes or FolderTimes(resolved)
        for place in resolved.places:
            mtimes.note(place.blobs)
            for path, link in place.files(seen, mtimes.note):
                file = _behind_usual_link(place, path, link)
                if file is None and (file := self._find(place, path, Path(link))):
                    mtimes.distrust()
                if file:
                    seen.add(path)
                    yield file

    def entry(self, repo_id: str, revision: str, path: str) -> ServedFile:
        """Return one file of a commit, on a tier or not.

        Raises:
            NotFound: RepoNotFound, RevisionNotFound or EntryNotFound. The last carries `commit_hash` only if the
                commit certainly has no such file: clients remember that for good, also for the real Hub, so a file that
                just isn't on our disks must not be denied that way.
            Unavailable: A tier that may have it is offline.
        """
        return self.entry_of(self.resolve(repo_id, revision), path)

    def entry_of(self, resolved: ResolvedRevision, path: str) -> ServedFile:
        """Return one file of a commit, on a tier or not; raises NotFound as `entry` does."""
        repo_id = resolved.repo_id
        fields = {"error_code": "EntryNotFound", "hf_path": repo_id, "path": path}
        try:
            FilePath(path)
        except BadInput as err:
            raise NotFound(err.detail, **fields) from err
        for place in resolved.places:
            link = place.repo.snapshot(place.commit_hash) / path
            if file := self._find(place, path, link):
                return file
        listed = _lists(resolved)
        if path in listed:
            return _listed(listed[path], resolved.commit_hash)
        detail = f"{path!r} is not in {resolved.repo_id} at {resolved.commit_hash}."
        if self._surely_lacks(resolved, listed, path):
            raise NotFound(detail, **fields, commit_hash=resolved.commit_hash)
        raise self._repos.or_away(NotFound(detail, **fields), resolved.repo_id)

    def file(self, repo_id: str, revision: str, path: str) -> ServedFile:
        """Return one file that can be read.

        Raises:
            NotFound: See `entry`.
            Conflict: The commit has it, and no tier does.
            Unavailable: A tier that may have it is offline.
        """
        found = self.entry(repo_id, revision, path)
        if found.disk_path is None:
            self.follow(repo_id, revision, found)
        return found

    def follow(self, repo_id: str, revision: str, found: ServedFile) -> NoReturn:
        """Raise Conflict: a file that isn't here isn't fetched."""
        hint = f"Add it there: shelf add NAME {repo_id} --include '{found.path}'"
        raise self._repos.or_away(Conflict(f"{found.path} of {repo_id} is not on this server.", hint=hint), repo_id)

    def was_damaged(self, digest: str) -> bool:
        """Return False: bytes are given away only after they were verified."""
        return False

    def _surely_lacks(self, resolved: ResolvedRevision, listed: Mapping[str, FileEntry], path: str) -> bool:
        """Return whether the commit, and not just these tiers, has no such file."""
        if listed:
            return next(self._here(resolved, listed), None) is None
        return any(place.is_recorded_absent(path) for place in resolved.places)

    def _find(self, place: PlacedSnapshot, path: str, link: Path) -> ServedFile | None:
        """Return the file that a snapshot's path leads to; None if it leads nowhere or out of the tier."""
        real = os.path.realpath(link)
        if not real.startswith(place.root + os.sep):
            return None
        try:
            found = os.stat(real, follow_symlinks=False)  # noqa: PTH116 - a Path per file costs three times the call
            if not stat.S_ISREG(found.st_mode):
                return None
            digest = scan.blob_of(place.repo, link) or ""
            if not is_digest(digest):
                # No link into `blobs`: without symbolic links the snapshot holds the bytes.
                listed = place.listed.get(path)
                digest = listed.digest if listed else self._digests.of(real, found) or ""
        except OSError:
            return None
        if not digest:
            return None
        return ServedFile(path, real, found.st_size, digest, place.commit_hash, found.st_mtime)


def _behind_usual_link(place: PlacedSnapshot, path: str, link: str) -> ServedFile | None:
    """Return the file behind a link as huggingface_hub writes it; None for anything else: `_find` looks where it leads.

    Args:
        place: The snapshot, no folder of which is a link.
        path: The file's path in it.
        link: Its path on the disk.
    """
    with contextlib.suppress(OSError):
        above, _, digest = os.readlink(link).rpartition("/")  # noqa: PTH115 - one of 50,000
        if place.blobs and above == f"{'../' * (2 + path.count('/'))}blobs" and is_digest(digest):
            blob = f"{place.blobs}/{digest}"
            found = os.lstat(blob)
            if stat.S_ISREG(found.st_mode):
                return ServedFile(path, blob, found.st_size, digest, place.commit_hash, found.st_mtime)
    return None


def _lists(resolved: ResolvedRevision) -> dict[str, FileEntry]:
    """Return the union of all tiers' lists, by path."""
    found: dict[str, FileEntry] = {}
    for place in resolved.places:
        found = place.listed | found if found else place.listed
    return found


def _listed(file: FileEntry, commit_hash: str) -> ServedFile:
    return ServedFile(file.path, None, file.size_bytes, file.digest, commit_hash)
