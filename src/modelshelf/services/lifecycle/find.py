"""Finding a model on the hub, and what of it fits here, before anything is registered."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.choices import RepoFiles, choices_of, fitted, sizes_to_fit
from modelshelf.domain.names import RefName, RepoId
from modelshelf.domain.ports import Hub
from modelshelf.domain.tiers import Tier
from modelshelf.services.space.fits import Fits


@dataclass(frozen=True, slots=True)
class Finder:
    """Asks the hub what it has."""

    hub: Hub
    fits: Fits

    def files(self, repo_id: RepoId, revision: RefName, to: Tier | None = None) -> RepoFiles:
        """Return a repository's files as choices, with where each would go.

        Args:
            repo_id: The repository.
            revision: Its revision.
            to: The target tier; None: the primary, or else the secondary.

        Raises:
            NotFound, Denied: The hub doesn't have it, or not for this token.
            Unavailable: The hub isn't reachable.
        """
        found = self.hub.resolve(repo_id, revision)
        files = self.hub.list_files(found.repo_id, found.commit_hash)
        choices = choices_of(found.repo_id, revision, files)
        fits = self.fits.of(sizes_to_fit(choices), to)
        return RepoFiles(found.repo_id, revision, found.commit_hash, fitted(choices, fits))
