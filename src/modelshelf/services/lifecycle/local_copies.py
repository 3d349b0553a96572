"""Blobs that lie elsewhere on this machine: they are copied, and verified on the way, instead of fetched."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.names import Digest, RepoId
from modelshelf.domain.plans import BlobNeed, PullPlan
from modelshelf.domain.ports import Clock, Progress
from modelshelf.errors import Corrupt, Denied, Unavailable
from modelshelf.services.space.reservations import Reservation
from modelshelf.services.space.tiers import TierService
from modelshelf.store import locks
from modelshelf.store.blobs import copy
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import scan, snapshot

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalCopies:
    """Finds and copies blobs of other tiers."""

    tiers: TierService
    clock: Clock

    def of(self, base: Base, plan: PullPlan) -> dict[Digest, Path]:
        """Return where other online tiers hold what a pull lacks, in the same repository, by name and size alone.

        Args:
            base: The base that lacks it.
            plan: The pull.
        """
        wanted = {need.digest: need.size_bytes for need in plan.fetch}
        found: dict[Digest, Path] = {}
        for other in self.tiers.online_bases() if wanted else ():
            repo = other.repo(plan.repo_id)
            if scan.is_same(other.path, base.path) or not is_folder(repo.path):
                continue
            files = [file for file in plan.files if file.digest in wanted and file.digest not in found]
            held = snapshot.held(other, repo, plan.commit_hash, files, symlinks=self.tiers.links(other))
            sizes = snapshot.sizes(held)
            found |= {digest: path for digest, path in held.items() if sizes.get(digest) == wanted[digest]}
        return found

    def bring(
        self, base: Base, repo_id: RepoId, need: BlobNeed, source: Path, progress: Progress, reservation: Reservation
    ) -> bool:
        """Copy a blob into a base; return whether that went well. What was counted is taken back if not.

        Args:
            base: The base.
            repo_id: The repository there.
            need: The blob.
            source: The file that should have its bytes.
            progress: Told how far the copy is.
            reservation: Told what was written.

        Raises:
            Cancelled: The work was stopped; what arrived stays for the next try.
            OutOfSpace: The disk is full.
        """
        counted = _Counted(progress, reservation)
        waits = (self.clock, locks.BLOB_WAIT_S, progress.check)
        try:
            with (
                locks.wait_lock(base.path, base.part_lock(need.digest), *waits),
                locks.wait_lock(base.path, base.hub_lock(repo_id, need.digest), *waits),
            ):
                blob = base.repo(repo_id).blob(need.digest)
                copy.copy_blob(source, base, need.digest, need.size_bytes, blob, counted, counted.wrote)
        except (Corrupt, Denied, Unavailable, OSError) as err:
            _log.warning("copy_not_good", extra={"source": str(source), "detail": str(err)})
            counted.take_back()
            return False
        return True


class _Counted:
    """Progress that can be taken back for bytes that turned out to be bad."""

    def __init__(self, progress: Progress, reservation: Reservation) -> None:
        self._progress = progress
        self._reservation = reservation
        self._advanced = self._written = 0

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Begin a phase."""
        self._progress.phase(name, total_bytes)

    def advance(self, done_bytes: int) -> None:
        """Count bytes."""
        self._advanced += done_bytes
        self._progress.advance(done_bytes)

    def skip(self, done_bytes: int) -> None:
        """Count bytes that were there already."""
        self._advanced += done_bytes
        self._progress.skip(done_bytes)

    def files(self, sizes: Mapping[str, int]) -> None:
        """Ignore which files they are."""

    def of(self, path: str) -> Progress:
        """Return itself: it counts what may have to be taken back."""
        return self

    def note(self, detail: str) -> None:
        """Say what the work waits for."""
        self._progress.note(detail)

    def check(self) -> None:
        """Raise Cancelled if the work was stopped."""
        self._progress.check()

    def wrote(self, count_bytes: int) -> None:
        """Count reserved bytes that were written."""
        self._written += count_bytes
        self._reservation.wrote(count_bytes)

    def take_back(self) -> None:
        """Take back everything counted."""
        self._progress.skip(-self._advanced)
        self._reservation.wrote(-self._written)
