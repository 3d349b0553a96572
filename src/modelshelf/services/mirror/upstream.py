"""What the hub says about repositories, asked for callers and kept for a while.

A caller's token is sent only for what the hub refuses without one, and to the hub alone; it is kept as a digest with a
salt of this process, and never beyond it. The token of the settings isn't used: what it opens isn't everybody's.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelshelf.domain.models import FileEntry, Mirrored, ModelRow, Resolved
from modelshelf.domain.names import CommitHash, RefName, RepoId, is_own_ref
from modelshelf.domain.ports import Hub
from modelshelf.errors import BadInput, Denied, NotFound, ShelfError
from modelshelf.services.mirror.memo import Memo

FRESH_S = 300.0
"""How long the hub isn't asked again which commit a branch means, and whether a token opens a repository."""
_MOST_ANSWERS = 10_000
_MOST_LISTS = 16
_FOR_GOOD_S = float("inf")


@dataclass(frozen=True, slots=True)
class Known:
    """A repository at a revision, as the hub gives it to a caller."""

    repo_id: RepoId
    """In the hub's spelling."""
    commit_hash: CommitHash
    mirrored: Mirrored
    """Open, or gated: the caller's token opened it."""


def branch_of(revision: str) -> RefName:
    """Return the name that a client's revision has at the hub.

    Raises:
        BadInput: There can't be one: git doesn't take it, or it is how we protect our snapshots.
    """
    if is_own_ref(revision):
        raise BadInput(f"{revision!r:.80} isn't a revision of the hub.")
    return RefName("main" if revision == "HEAD" else revision)


class Upstream:
    """The hub behind `/hf`.

    Args:
        hub_of: Returns the hub for a caller's token; empty for none.
    """

    def __init__(self, hub_of: Callable[[str], Hub]) -> None:
        self._hub_of = hub_of
        self._salt = secrets.token_bytes(16)
        self._resolved: Memo[Resolved] = Memo(FRESH_S, _MOST_ANSWERS)
        self._lists: Memo[Sequence[FileEntry]] = Memo(_FOR_GOOD_S, _MOST_LISTS)

    def resolve(self, repo_id: str, revision: str, token: str) -> Known:
        """Return a repository's commit.

        Args:
            repo_id: Its id, in any spelling.
            revision: A branch, a tag or a commit.
            token: The caller's; empty for none.

        Raises:
            NotFound: RepoNotFound or RevisionNotFound.
            Denied: It is gated, and not open to this token.
            Unavailable: The hub isn't reachable.
        """
        try:
            asked, wanted = RepoId(repo_id), branch_of(revision)
        except BadInput as err:
            raise NotFound(err.detail, error_code="RepoNotFound", hf_path=repo_id) from err
        try:
            try:
                return self._known(asked, wanted, "")
            except (NotFound, Denied):
                if not token:
                    raise
                return self._known(asked, wanted, token)
        except NotFound as err:
            code = "RevisionNotFound" if "revision" in err.fields else "RepoNotFound"
            raise NotFound(err.detail, hint=err.hint, **(err.fields | {"error_code": code})) from err

    def has(self, row: ModelRow) -> bool:
        """Return whether the hub still has a model's commit, for whomever."""
        if row.commit_hash is None:
            return False
        try:
            return self._hub_of("").resolve(row.hf_path, row.commit_hash).commit_hash == row.commit_hash
        except Denied:
            return True  # it is gated, so it is there
        except ShelfError:
            return False

    def files(self, known: Known, token: str) -> Sequence[FileEntry]:
        """Return all files of a commit, which never change.

        Raises:
            NotFound, Denied, Unavailable, Corrupt: The hub doesn't say.
        """
        key = known.repo_id, known.commit_hash
        return self._lists.get(key, lambda: self.hub(known, token).list_files(*key))

    def hub(self, known: Known, token: str) -> Hub:
        """Return the hub as it gives a repository's bytes."""
        return self._hub_of(token if known.mirrored is Mirrored.GATED else "")

    def _known(self, repo_id: RepoId, revision: RefName, token: str) -> Known:
        who = hashlib.sha256(self._salt + token.encode()).digest() if token else b""
        found = self._resolved.get(
            (repo_id.lower(), revision, who), lambda: self._hub_of(token).resolve(repo_id, revision)
        )
        return Known(found.repo_id, found.commit_hash, Mirrored.GATED if token else Mirrored.OPEN)
