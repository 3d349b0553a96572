"""Results of a search on a hub."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.names import RepoId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A repository that a hub found; None for what the hub doesn't say."""

    repo_id: RepoId
    downloads: int | None
    """In the last 30 days."""
    likes: int | None
    updated_at: str | None
    """When it last changed, as RFC 3339."""
    parameters: int | None
    """The number of its model's weights."""
    size_bytes: int | None
    """Its size on the hub, all files and commits together."""
    formats: tuple[str, ...]
    is_gated: bool
    """Whether its authors require something before a download."""
