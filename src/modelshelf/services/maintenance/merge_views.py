"""What programs fetched over the links of a view while its drive was away: one copy stays, where the registry says.

**Crash:** a copy on the primary goes only after the other one was verified; the next run merges the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.domain.models import FileEntry, Model, State
from modelshelf.domain.names import CommitHash
from modelshelf.domain.ports import Progress
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library
from modelshelf.services.space.delete_old_copy import OldCopyDeleter
from modelshelf.store.blobs.partial import file_agrees
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan, snapshot
from modelshelf.store.tiers import marker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ViewMerger:
    """Merges second copies in the primary with those that its view leads to."""

    registry: Registry
    library: Library
    old_copies: OldCopyDeleter

    def run(self, progress: Progress) -> Freed:
        """Merge what can be merged; return what that freed. What somebody uses is left to the next run.

        Raises:
            Cancelled: The work was stopped.
        """
        freed, base = Freed(), Base(Path(self.library.tiers.primary.base))
        if not self.old_copies.views.stands_in(base):
            return freed
        for model in self.library.models():
            commit_hash = model.row.commit_hash
            if commit_hash is None or model.state is not State.READY or model.base == str(base.path):
                continue
            twice = self._twice(base, model, commit_hash)
            if twice and self._are_good(model, commit_hash, twice, progress):
                try:
                    freed += self.old_copies.delete(base, model.hf_path, commit_hash, twice)
                except ShelfError as err:
                    _log.info("copy_not_merged", extra={"model": model.model_name, "why": err.detail})
        return freed

    def _twice(self, base: Base, model: Model, commit_hash: CommitHash) -> list[FileEntry]:
        """Return the files of a model that are in the primary as well, and that no model there needs."""
        repo = base.repo(model.hf_path)
        if not scan.snapshots(repo):
            return []
        paths = self.library.needed_paths(base, model.hf_path, commit_hash)
        digests = self.library.needed_digests(base, model.hf_path, commit_hash)
        files = [file for file in self.library.files(model.row) if file.path not in paths]
        return [file for file in files if file.digest not in digests and _is_here(base, model, file)]

    def _are_good(self, model: Model, commit_hash: CommitHash, files: Sequence[FileEntry], progress: Progress) -> bool:
        """Return whether the copy that stays has these files with the right bytes; reads what was never verified."""
        base = Base(Path(model.base))
        tier_id = marker.read_id(base) or ""
        checked = self.registry.verified.of_tier(tier_id)
        found = snapshot.locate(base, base.repo(model.hf_path), commit_hash, files)
        for digest in {file.digest for file in files}:
            progress.check()
            stamp = scan.stamp(found[digest]) if digest in found else ""
            if not stamp or (checked.get(digest) != stamp and not file_agrees(found[digest], digest)):
                _log.warning("copy_not_good", extra={"model": model.model_name, "digest": digest})
                return False
            self.registry.verified.add(tier_id, {digest: stamp})
        return True


def _is_here(base: Base, model: Model, file: FileEntry) -> bool:
    return scan.has_blob(base.repo(model.hf_path), file.digest, file.size_bytes)
