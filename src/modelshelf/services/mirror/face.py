"""What `/hf` answers from: the tiers alone, or the tiers and the hub behind them."""

from __future__ import annotations

from typing import Protocol

from modelshelf.services.mirror.arrival import Arrival
from modelshelf.services.mirror.contents import Contents, ServedFile
from modelshelf.services.mirror.lookup import HubFace
from modelshelf.services.mirror.repositories import ResolvedRevision


class Face(Protocol):
    """The questions of the Hub's clients."""

    def for_caller(self, token: str) -> Face:
        """Return the face for a caller with this token of the hub; empty for none."""

    @property
    def here(self) -> HubFace:
        """What the tiers hold."""

    def repo_ids(self) -> list[str]:
        """Return the ids of the repositories that have a snapshot here and are open to every caller, by name."""

    def resolve(self, repo_id: str, revision: str = "main") -> ResolvedRevision:
        """Return the commit of a revision; see `HubFace.resolve`."""

    def refs(self, repo_id: str) -> dict[str, str]:
        """Return each revision with its commit; see `HubFace.refs`."""

    def contents(self, resolved: ResolvedRevision) -> Contents:
        """Return the files of a commit; see `HubFace.contents`."""

    def files_to_give(self, resolved: ResolvedRevision) -> list[ServedFile]:
        """Return the files of a commit that a client can have, by path."""

    def entry(self, repo_id: str, revision: str, path: str) -> ServedFile:
        """Return one file of a commit, on a tier or not; see `HubFace.entry`."""

    def file(self, repo_id: str, revision: str, path: str) -> ServedFile:
        """Return one file that a client can have; see `HubFace.file`."""

    def follow(self, repo_id: str, revision: str, found: ServedFile) -> Arrival:
        """Fetch a file that isn't on a tier.

        Raises:
            Conflict: Nothing is fetched here.
            ShelfError: It can't be fetched.
        """

    def was_damaged(self, digest: str) -> bool:
        """Return whether a client may hold wrong bytes of a file, and must have it from its beginning."""
