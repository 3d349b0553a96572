"""One reading of a base, shared by everything that judges it."""

from __future__ import annotations

from functools import cached_property

from modelshelf.domain.names import RepoId
from modelshelf.domain.sidecars import Sidecar
from modelshelf.store.layout import Base, Repo
from modelshelf.store.listing import Listing
from modelshelf.store.repos import scan
from modelshelf.store.repos.names import RepoNames
from modelshelf.store.tiers import sidecars


class SeenBase:
    """One reading of a base; each part is read on first use.

    Args:
        base: The base.
        known: Returns the files of a commit as the registry has them; see `sidecars.read_files`.
    """

    def __init__(self, base: Base, known: sidecars.Known = sidecars.nothing) -> None:
        self.base = base
        self._known = known
        self.listing = Listing()
        self._names: dict[str, RepoNames] = {}

    @cached_property
    def repos(self) -> list[tuple[str, RepoId, Repo]]:
        """The folders of repositories; see `scan.repos`."""
        return scan.repos(self.base, self.listing)

    @cached_property
    def sidecar_files(self) -> dict[str, Sidecar | None]:
        """The files among the sidecars, by path; None for one that can't be understood."""
        return sidecars.read_files(self.base, self._known)

    @property
    def sidecars(self) -> list[Sidecar]:
        """The sidecars that can be understood, by name."""
        return [sidecar for sidecar in self.sidecar_files.values() if sidecar is not None]

    @cached_property
    def _of_models(self) -> dict[RepoId, RepoNames]:
        return {repo_id: self.names(repo) for kind, repo_id, repo in self.repos if kind == "model"}

    def names_of(self, repo_id: RepoId) -> RepoNames:
        """Return the names of a model's repository, which may not be here."""
        found = self._of_models.get(repo_id)
        if found is None:
            found = self._of_models[repo_id] = self.names(self.base.repo(repo_id))
        return found

    def names(self, repo: Repo) -> RepoNames:
        """Return the names of a repository."""
        found = self._names.get(repo.folder)
        if found is None:
            found = self._names[repo.folder] = RepoNames(repo, self.listing)
        return found
