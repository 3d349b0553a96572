"""Which repositories are here because a client of `/hf` asked for them."""

from __future__ import annotations

import contextlib
import threading
import time

from modelshelf.domain.models import Mirrored
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry

_KEPT_S = 1.0
"""How long the registry isn't asked again, in seconds."""
_NOTE_EACH_S = 3600.0
"""How often it is recorded that a model is asked for, in seconds."""


class MirroredRepos:
    """How repositories were mirrored.

    What was gated stays so while this process lives, also while the files of a removed model are still being deleted.

    **Concurrency:** safe from any thread.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, Mirrored] = {}
        self._gated: set[str] = set()
        self._asked_at = float("-inf")
        self._noted: dict[tuple[str, str], float] = {}
        self._mutex = threading.Lock()

    def how(self, repo_id: str) -> Mirrored | None:
        """Return how a repository was mirrored; None for one that isn't here, or that a person registered."""
        with self._mutex:
            if time.monotonic() - self._asked_at >= _KEPT_S:
                self._known = self._registry.placements.mirrored()
                self._gated |= {repo for repo, how in self._known.items() if how is Mirrored.GATED}
                self._asked_at = time.monotonic()
            key = repo_id.lower()
            return self._known.get(key, Mirrored.GATED if key in self._gated else Mirrored.NO) or None

    def note_gated(self, repo_id: str) -> None:
        """Record that a repository is gated, before the first of its files is here."""
        with self._mutex:
            self._gated.add(repo_id.lower())

    def note_asked(self, repo_id: str, commit_hash: str) -> None:
        """Record that a client asked for a mirrored model, once an hour: the one that nobody asks for leaves first."""
        key, now_s = (repo_id.lower(), commit_hash), time.monotonic()
        with self._mutex:
            if now_s - self._noted.get(key, float("-inf")) < _NOTE_EACH_S:
                return
            self._noted[key] = now_s
        with contextlib.suppress(ShelfError):  # a full or closed disk keeps nobody from reading
            for row in self._registry.models(any_case=repo_id):
                if row.mirrored and row.commit_hash == commit_hash:
                    self._registry.add_use(row.id, "mirror", 0.0)

    def close(self, repo_id: str) -> None:
        """Record that the hub gives a mirrored repository only to callers with a token of their own by now."""
        with self._mutex:
            self._registry.placements.close_mirrored(repo_id)
            self._gated.add(repo_id.lower())
            self._asked_at = float("-inf")
