"""What a hub finds when it is searched."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.names import RepoId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A repository that a hub found; None for what it doesn't say."""

    repo_id: RepoId
    downloads: int | None
    """In the last 30 days."""
    likes: int | None
    updated_at: str | None
    """When it last changed, in RFC 3339."""
    parameters: int | None
    """How many weights its model has."""
    size_bytes: int | None
    """What it takes on the hub, all of its files and commits together."""
    formats: tuple[str, ...]
    is_gated: bool
    """Whether its authors ask for something before they let one download it."""
