"""What the hub has, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject
from modelshelf.schemas.models import FileJson

if TYPE_CHECKING:
    from modelshelf.domain.candidates import Candidate
    from modelshelf.domain.choices import Choice, RepoFiles


@dataclass(frozen=True)
class CandidateJson(JsonObject):
    """A repository that the hub found; null for what it doesn't say."""

    hf_path: str
    """The repository, `org/name`."""
    parameters: int | None
    """How many weights its model has."""
    formats: Sequence[str]
    """The formats that it has."""
    size_bytes: int | None
    """What it takes on the hub, all of its files and commits together."""
    downloads: int | None
    """Of the last 30 days."""
    likes: int | None
    """How many people like it."""
    updated_at: str | None
    """When it last changed."""
    gated: bool
    """Whether its authors ask for something before they let one download it."""

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateJson:
        """Return a candidate."""
        return cls.like(candidate, hf_path=candidate.repo_id, gated=candidate.is_gated)


@dataclass(frozen=True)
class ChoiceJson(JsonObject):
    """Files of a repository that one takes together."""

    label: str
    """What tells them apart: a quantisation, a format."""
    format: str
    """Their format; `mmproj` for what a vision model needs beside its GGUF, `other files` for the rest."""
    size_bytes: int
    """What they have together."""
    fits_memory: bool | None
    """Whether the memory that is free now would hold it while it answers; null for files that are no weights."""
    cache_location: str | None
    """The tier that has room for it: `primary`, or else `secondary`; null where neither has."""
    evicts: Sequence[str]
    """The models that would leave the primary for it."""
    add: str
    """The words that take it, behind `shelf add`; empty for files that aren't taken alone."""
    files: Sequence[FileJson]
    """The files."""

    @classmethod
    def of(cls, choice: Choice) -> ChoiceJson:
        """Return a choice."""
        group, fit = choice.group, choice.fit
        return cls.like(
            group,
            fits_memory=None if fit is None else fit.memory,
            cache_location=None if fit is None else fit.cache_location,
            evicts=[] if fit is None else list(fit.evicts),
            add=choice.reference,
            files=[FileJson.like(file) for file in group.files],
        )


@dataclass(frozen=True)
class RepoFilesJson(JsonObject):
    """The files of a repository, grouped by what one takes together."""

    hf_path: str
    """The repository, `org/name`."""
    revision: str
    """What was asked for."""
    commit_hash: str
    """The commit that it means now."""
    groups: Sequence[ChoiceJson]
    """Each GGUF model from the smallest on, then the other formats."""

    @classmethod
    def of(cls, found: RepoFiles) -> RepoFilesJson:
        """Return the files of a repository."""
        return cls.like(found, hf_path=found.repo_id, groups=[ChoiceJson.of(choice) for choice in found.choices])
