"""The registry before the first model."""

from __future__ import annotations

from modelshelf.domain.jobs import Moved
from modelshelf.domain.listing import Listing
from modelshelf.domain.models import FileEntry, ModelRow


class EmptyReader:
    """A reader that finds nothing."""

    def models(
        self,
        *,
        repo_id: str | None = None,
        any_case: str | None = None,
        cache_location: str | None = None,
        model_id: int | None = None,
    ) -> list[ModelRow]:
        """Return none."""
        return []

    def adapters(self) -> list[ModelRow]:
        """Return none."""
        return []

    def names(self) -> dict[str, str]:
        """Return none."""
        return {}

    def listed(self, listing: Listing) -> list[ModelRow]:
        """Return none."""
        return []

    def model(self, model_name: str) -> ModelRow | None:
        """Return none."""
        return None

    def files(self, repo_id: str, commit_hash: str) -> list[FileEntry]:
        """Return none."""
        return []

    def manifests(self) -> dict[tuple[str, str], list[FileEntry]]:
        """Return none."""
        return {}

    def moves(self, model_id: int) -> list[Moved]:
        """Return none."""
        return []

    def tier_ids(self) -> dict[str, str]:
        """Return none."""
        return {}

    def leaving(self) -> set[tuple[str, str]]:
        """Return none."""
        return set()

    def damage(self) -> dict[tuple[str, str], str]:
        """Return none."""
        return {}

    def open_jobs(self) -> dict[str, str]:
        """Return none."""
        return {}

    def key_names(self) -> list[str]:
        """Return none."""
        return []
