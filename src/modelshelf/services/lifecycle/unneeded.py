"""Snapshots in the library's bases that no registered model needs, deleted because a person says so.

These are left by a removal without files, an update, or a move that kept its copy, or were downloaded by another
program.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import chain, islice

from modelshelf.domain.freed import Freed
from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.models import FileEntry, select_files
from modelshelf.domain.names import CommitHash, Digest, FilePath, RepoId
from modelshelf.domain.plans import UnneededSnapshot
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput, Conflict, Denied
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.space.delete_old_copy import OldCopyDeleter, old_copy, read_freed
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import delete, scan

_NO_BLOB = Digest("0" * 40)
"""Stands for the digest of a file that isn't a link to a blob: no blob goes with it."""
_AT_ONCE = 256
"""About how many repositories one statement asks."""


@dataclass(frozen=True, slots=True)
class UnneededFiles:
    """Finds snapshots that no registered model needs, and deletes them."""

    registry: Registry
    library: Library
    tiers: TierService
    old_copies: OldCopyDeleter
    runner: JobRunner

    def find(self, repo_id: RepoId | None = None) -> list[UnneededSnapshot]:
        """Return the unneeded snapshots of every base that can be read, or of one repository; nothing is changed.

        Snapshots that must not be touched, such as a folder that is a link, are left out, and so are a view's links:
        they show what another tier has.

        Args:
            repo_id: The repository, in any letter case.
        """
        online = [tier for tier in self.tiers.all() if not self.tiers.why_offline(tier)]
        return [found for tier in online for found in self._in(tier, repo_id)]

    def _in(self, tier: Tier, wanted: RepoId | None) -> Iterator[UnneededSnapshot]:
        base = Base(self.tiers.path(tier))
        found = (
            (repo_id, repo)
            for repo_type, repo_id, repo in scan.repos(base)
            if repo_type == "model" and (wanted or repo_id).lower() == repo_id.lower()
        )
        while batch := list(islice(found, _AT_ONCE)):
            needed = self._needed(base, {repo_id for repo_id, _ in batch})
            for repo_id, repo in batch:
                for commit_hash in scan.snapshots(repo):
                    keep = needed.get((repo_id, commit_hash), frozenset())
                    if not keep.issuperset(scan.snapshot_names(repo, commit_hash)):
                        with contextlib.suppress(Conflict, Denied):
                            yield from self._of(tier, base, repo_id, commit_hash, keep)

    def _needed(self, base: Base, repo_ids: Set[RepoId]) -> dict[tuple[str, str], frozenset[str]]:
        """Return the files that registered models need in a base, by repository and commit."""
        manifests, needed = self.registry.manifests_of(repo_ids), dict[tuple[str, str], frozenset[str]]()
        for row in chain.from_iterable(self.registry.models_of(repo_ids).values()):
            if row.commit_hash is not None and self.library.base_of(row) == str(base.path):
                commit = row.hf_path, row.commit_hash
                files = select_files(manifests.get(commit, ()), row.allow_patterns)
                needed[commit] = needed.get(commit, frozenset()).union(file.path for file in files)
        return needed

    def _of(
        self, tier: Tier, base: Base, repo_id: RepoId, commit_hash: CommitHash, keep: frozenset[str]
    ) -> Iterator[UnneededSnapshot]:
        repo = base.repo(repo_id)
        shown = scan.viewed(repo)
        files = tuple(file for file in _files(repo, commit_hash) if file.path not in keep and file.digest not in shown)
        if files:
            others = self.library.needed_digests(base, repo_id, commit_hash)
            plan = delete.plan_removal(base, repo_id, commit_hash, files, keep, others)
            yield UnneededSnapshot(tier, repo_id, commit_hash, files, plan.free_bytes)

    def remove(self, going: UnneededSnapshot) -> Freed:
        """Delete a snapshot as a move's old copy is deleted; return what that freed, measured.

        Raises:
            Conflict: A program uses its files, or a job may need them; nothing was changed.
            Unavailable: A program opened them at that moment; they are deleted when it ends.
        """
        base, repo_id = Base(self.tiers.path(going.tier)), going.repo_id
        busy = next((row for row in self.registry.models(repo_id=repo_id) if row.job_state in UNFINISHED), None)
        if busy is not None:
            hint = f"Wait for it, or end it: shelf cancel {busy.job_id}"
            raise Conflict(f"Job {busy.job_id} works on {busy.model_name}.", hint=hint, job_id=busy.job_id)
        if users := self.old_copies.users(base, repo_id, going.commit_hash, going.files):
            raise Conflict(f"{repo_id} is used by {', '.join(users)}.", hint="End them first.", used_by=users)
        what = old_copy(self.library.tiers, base, repo_id, going.commit_hash, going.files)
        return read_freed(self.runner.finish(self.runner.enqueue_once(what, repo_id)))


def _files(repo: Repo, commit_hash: CommitHash) -> Iterator[FileEntry]:
    """Yield the files of a snapshot as they are on the disk."""
    for name, path in scan.snapshot_files(repo, commit_hash):
        with contextlib.suppress(BadInput, OSError):  # such a name can't be a repository's file's; or it is gone
            yield FileEntry(FilePath(name), path.lstat().st_size, scan.blob_of(repo, path) or _NO_BLOB)
