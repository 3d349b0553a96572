"""What is written beside a model's bytes, so that a lost registry can be rebuilt from the disks alone."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.models import FileEntry, Mirrored, select_files
from modelshelf.domain.names import BasePath, CommitHash, ModelName, RefName, RepoId
from modelshelf.domain.patterns import FilePattern


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a person said about a model, or that no person did, and its files."""

    model_name: ModelName
    hf_path: RepoId
    revision: RefName
    commit_hash: CommitHash
    allow_patterns: tuple[FilePattern, ...]
    pinned: bool
    pin_reason: str
    files: tuple[FileEntry, ...]
    """All files of the commit, selected or not."""
    arriving_from: BasePath | None = None
    """The source of a move; None once the model is complete here."""
    mirrored: Mirrored = Mirrored.NO

    @property
    def selected(self) -> list[FileEntry]:
        """The model's own files."""
        return select_files(self.files, self.allow_patterns)

    def is_of(self, other: Sidecar) -> bool:
        """Return whether both are about the same files of the same commit, under any names."""
        return (self.hf_path, self.commit_hash, self.allow_patterns) == (
            other.hf_path,
            other.commit_hash,
            other.allow_patterns,
        )
