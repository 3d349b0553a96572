"""One reading of the whole library, which keeps what it read, so that nothing is read twice."""

from __future__ import annotations

from functools import cached_property

from modelshelf.domain.models import FileEntry, ModelRow, select_files
from modelshelf.domain.names import CommitHash, RepoId
from modelshelf.registry.registry import Registry
from modelshelf.store.layout import Base
from modelshelf.store.tiers.seen import SeenBase


class Look:
    """The library at one moment, for the doctor, reconcile and gc.

    Args:
        registry: The registry; None if it can't be opened, which lists no files.
    """

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._bases: dict[Base, SeenBase] = {}

    @cached_property
    def rows(self) -> list[ModelRow]:
        """The rows of all models."""
        return self._registry.models() if self._registry is not None else []

    @cached_property
    def _manifests(self) -> dict[tuple[str, str], list[FileEntry]]:
        return self._registry.manifests() if self._registry is not None else {}

    def base(self, base: Base) -> SeenBase:
        """Return the reading of a base."""
        found = self._bases.get(base)
        if found is None:
            found = self._bases[base] = SeenBase(base, self._files_of)
        return found

    def manifest(self, row: ModelRow) -> list[FileEntry]:
        """Return all files of a model's commit, selected or not; none until it is known."""
        return self._files_of(row.hf_path, row.commit_hash) if row.commit_hash is not None else []

    def _files_of(self, repo_id: RepoId, commit_hash: CommitHash) -> list[FileEntry]:
        return self._manifests.get((repo_id, commit_hash), [])

    def files(self, row: ModelRow) -> list[FileEntry]:
        """Return a model's selected files; none until its commit is known."""
        return select_files(self.manifest(row), row.allow_patterns)
