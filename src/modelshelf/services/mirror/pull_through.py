"""`/hf` with `SHELF_MIRROR=on`: what isn't on a tier is asked of the hub, fetched and kept.

What a person registered is answered from the tiers, also a branch that has moved on at the hub: `shelf update` brings
it. A branch of a mirrored repository is asked for again after a while. Where the hub is away, what is here is served.
What is gated at the hub is given only to callers whose own token the hub accepts for it.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field, replace

from modelshelf.domain.models import FileEntry, Mirrored
from modelshelf.domain.names import COMMIT_HASH
from modelshelf.errors import Denied, NotFound, ShelfError, Unavailable
from modelshelf.services.mirror.arrival import Arrival
from modelshelf.services.mirror.contents import Contents, ServedFile
from modelshelf.services.mirror.fetch import Wish
from modelshelf.services.mirror.jobs import MirrorJobs
from modelshelf.services.mirror.lookup import HubFace
from modelshelf.services.mirror.mirrored import MirroredRepos
from modelshelf.services.mirror.repositories import ResolvedRevision
from modelshelf.services.mirror.upstream import Known, Upstream, branch_of
from modelshelf.store.layout import Base

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PullThrough:
    """The tiers, and the hub behind them, for one caller.

    **Concurrency:** safe from any thread.
    """

    here: HubFace
    upstream: Upstream
    jobs: MirrorJobs
    mirrored: MirroredRepos
    token: str = field(default="", repr=False)
    """The caller's."""
    _damaged: set[str] = field(default_factory=set)

    def for_caller(self, token: str) -> PullThrough:
        """Return the face for a caller with this token of the hub; empty for none."""
        return replace(self, token=token)

    def repo_ids(self) -> list[str]:
        """Return the ids of the repositories here that are open to every caller: a private name is for its owner."""
        return [repo_id for repo_id in self.here.repo_ids() if self.mirrored.how(repo_id) is not Mirrored.GATED]

    def resolve(self, repo_id: str, revision: str = "main") -> ResolvedRevision:
        """Return the commit of a revision, on a tier or not.

        Raises:
            NotFound: RepoNotFound or RevisionNotFound, at the hub too.
            Denied: It is gated, and the caller's token doesn't open it.
            Unavailable: Neither the hub nor the tier that may have it can be reached.
        """
        there, mirrored = self._there(repo_id, revision), self.mirrored.how(repo_id)
        is_fixed = COMMIT_HASH.fullmatch(revision) is not None
        if there is not None and (mirrored is None or (is_fixed and mirrored is Mirrored.OPEN)):
            return there
        try:
            known = self._asked(repo_id, revision, mirrored)
        except (Unavailable, NotFound) as err:
            if there is None or mirrored is Mirrored.GATED:
                raise
            _log.info("served_without_the_hub", extra={"hf_path": repo_id, "detail": err.detail})
            return there
        found = self._there(known.repo_id, known.commit_hash)
        return found or ResolvedRevision(known.repo_id, known.commit_hash, (), 0.0)

    def _asked(self, repo_id: str, revision: str, mirrored: Mirrored | None) -> Known:
        """Ask the hub; a repository that it has closed since it was mirrored is closed here too."""
        try:
            known = self.upstream.resolve(repo_id, revision, self.token)
        except Denied as err:
            if mirrored is Mirrored.OPEN and "hf_path" in err.fields:  # the hub says so, and not a proxy
                self.mirrored.close(repo_id)
            raise
        if known.mirrored is Mirrored.GATED and mirrored is Mirrored.OPEN:
            self.mirrored.close(repo_id)
        return known

    def refs(self, repo_id: str) -> dict[str, str]:
        """Return the revisions here, and the commit of `main`."""
        found: dict[str, str] = {}
        with contextlib.suppress(NotFound):
            found = self.here.refs(repo_id)
        if found and self.mirrored.how(repo_id) is None:
            return found
        return found | {"main": self.resolve(repo_id).commit_hash}

    def contents(self, resolved: ResolvedRevision) -> Contents:
        """Return the files of a commit, on a tier or not."""
        here = self.here.contents(resolved) if resolved.places else Contents([], whole=False)
        if here.whole:
            return here
        try:
            listed = self._listed(resolved)
        except ShelfError:
            if resolved.places:
                return here
            raise
        files = {path: _absent(file, resolved) for path, file in listed.items()} | here.by_path
        return Contents([files[path] for path in sorted(files)], whole=True)

    def files_to_give(self, resolved: ResolvedRevision) -> list[ServedFile]:
        """Return the files of a commit: all can be had."""
        return self.contents(resolved).files

    def entry(self, repo_id: str, revision: str, path: str) -> ServedFile:
        """Return one file of a commit, on a tier or not.

        Raises:
            NotFound, Denied, Unavailable: See `resolve`; or the commit has no such file.
        """
        resolved = self.resolve(repo_id, revision)
        if resolved.places:
            try:
                return self.here.entry_of(resolved, path)
            except NotFound as err:
                if "commit_hash" in err.fields:
                    raise
        file = self._listed(resolved).get(path)
        if file is None:
            fields = {"error_code": "EntryNotFound", "hf_path": resolved.repo_id, "path": path}
            detail = f"{path!r} is not in {resolved.repo_id} at {resolved.commit_hash}."
            raise NotFound(detail, **fields, commit_hash=resolved.commit_hash)
        return _absent(file, resolved)

    def file(self, repo_id: str, revision: str, path: str) -> ServedFile:
        """Return one file of a commit; see `entry`."""
        found = self.entry(repo_id, revision, path)
        if found.disk_path is not None and self.mirrored.how(repo_id) is not None:
            self.mirrored.note_asked(repo_id, found.commit_hash)
        return found

    def follow(self, repo_id: str, revision: str, found: ServedFile) -> Arrival:
        """Fetch a file that isn't on a tier, or join those who wait for it.

        Raises:
            ShelfError: It can't be fetched.
        """
        known = self.upstream.resolve(repo_id, found.commit_hash, self.token)
        manifest = self.upstream.files(known, self.token)
        file = next((file for file in manifest if file.path == found.path), None)
        if file is None:
            raise Unavailable(f"A list here names {found.path} of {known.repo_id}, and the hub doesn't.")
        if known.mirrored is Mirrored.GATED:
            self.mirrored.note_gated(known.repo_id)
        wish = Wish(known, branch_of(revision), file, manifest, self.upstream.hub(known, self.token))
        fetch = self.jobs.start(wish)
        tiers = self.jobs.tiers

        def look() -> ServedFile:
            resolved = self._there(known.repo_id, known.commit_hash)
            return self.here.entry_of(resolved, file.path) if resolved else found

        base = Base(tiers.path(tiers.settings.primary))
        return Arrival(base, file, fetch, look, lambda: self._damaged.add(file.digest))

    def was_damaged(self, digest: str) -> bool:
        """Return whether a client may hold wrong bytes of a file, and must have it from its beginning."""
        return digest in self._damaged

    def _there(self, repo_id: str, revision: str) -> ResolvedRevision | None:
        """Return a revision on the tiers; raises Unavailable if a tier that may have it is offline."""
        try:
            return self.here.resolve(repo_id, revision)
        except NotFound:
            return None

    def _listed(self, resolved: ResolvedRevision) -> dict[str, FileEntry]:
        """Return the files of a commit by path, as the hub lists them."""
        known = self.upstream.resolve(resolved.repo_id, resolved.commit_hash, self.token)
        return {file.path: file for file in self.upstream.files(known, self.token)}


def _absent(file: FileEntry, resolved: ResolvedRevision) -> ServedFile:
    return ServedFile(file.path, None, file.size_bytes, file.digest, resolved.commit_hash)
