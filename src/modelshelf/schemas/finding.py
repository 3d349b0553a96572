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
    """The number of its model's weights."""
    formats: Sequence[str]
    """The formats that it has."""
    size_bytes: int | None
    """Its size on the hub, all files and commits together."""
    downloads: int | None
    """In the last 30 days."""
    likes: int | None
    """How many people like it."""
    updated_at: str | None
    """When it last changed."""
    gated: bool
    """Whether its authors require something before a download."""

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateJson:
        """Return the object for a candidate."""
        return cls.like(candidate, hf_path=candidate.repo_id, gated=candidate.is_gated)


@dataclass(frozen=True)
class ChoiceJson(JsonObject):
    """Files of a repository that are taken together."""

    label: str
    """What tells them apart: a quantisation, a format."""
    format: str
    """Their format; `mmproj` for a vision model's projector, `other files` for the rest."""
    size_bytes: int
    """Their total size."""
    taken_bytes: int
    """The total size of what `add` takes: of a vision model its projectors too, or the whole repository."""
    fits_memory: bool | None
    """Whether the memory that is free now would hold them in use; null for files that aren't weights."""
    cache_location: str | None
    """The tier with room for it: `primary`, or else `secondary`; null if neither has."""
    evicts: Sequence[str]
    """The models that would be evicted from the primary."""
    add: str
    """The words that select it in `shelf add`; empty for files that can't be taken alone."""
    files: Sequence[FileJson]
    """The files."""

    @classmethod
    def of(cls, choice: Choice) -> ChoiceJson:
        """Return the object for a choice."""
        group, fit = choice.group, choice.fit
        return cls.like(
            group,
            taken_bytes=choice.taken_bytes,
            fits_memory=None if fit is None else fit.memory,
            cache_location=None if fit is None else fit.cache_location,
            evicts=[] if fit is None else list(fit.evicts),
            add=choice.reference,
            files=[FileJson.like(file) for file in group.files],
        )


@dataclass(frozen=True)
class RepoFilesJson(JsonObject):
    """The files of a repository, in groups that are taken together."""

    hf_path: str
    """The repository, `org/name`."""
    revision: str
    """The requested revision."""
    commit_hash: str
    """The commit that it means now."""
    groups: Sequence[ChoiceJson]
    """Each GGUF model, smallest first, then the other formats."""

    @classmethod
    def of(cls, found: RepoFiles) -> RepoFilesJson:
        """Return the object for a repository's files."""
        return cls.like(found, hf_path=found.repo_id, groups=[ChoiceJson.of(choice) for choice in found.choices])
