"""Made-up commits: adopt makes one up if another program didn't write down which commit its files are of.

A snapshot's folder is named like a commit, so a made-up one has the same form; it begins with zeros, as no commit of a
hub does except one in 2^48. No hub is ever asked for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from modelshelf.domain.names import CommitHash, Digest, FilePath
from modelshelf.errors import NotFound

_MARK = "0" * 12


def make_up(repo_id: str, digests: Mapping[FilePath, Digest]) -> CommitHash:
    """Return a made-up commit: the same for the same files.

    Args:
        repo_id: The repository.
        digests: The digest of each file by its path.
    """
    text = "\n".join([repo_id, *sorted(f"{path} {digest}" for path, digest in digests.items())])
    return CommitHash(_MARK + hashlib.sha1(text.encode()).hexdigest()[: 40 - len(_MARK)])


def is_made_up(commit_hash: str | None) -> bool:
    """Return whether a commit was made up.

    >>> is_made_up("0" * 12 + "a" * 28), is_made_up("a" * 40), is_made_up(None)
    (True, False, False)
    """
    return bool(commit_hash) and str(commit_hash).startswith(_MARK)


def check_real(repo_id: str, commit_hash: str) -> None:
    """Raise if a commit was made up.

    Raises:
        NotFound: It was made up, so no hub has it.
    """
    if is_made_up(commit_hash):
        raise NotFound(
            f"{repo_id} came from another program's folder: no hub has this commit of it.",
            hint="Adopt that folder again: shelf adopt PATH --move",
            hf_path=repo_id,
        )
