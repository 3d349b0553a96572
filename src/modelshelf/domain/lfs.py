"""The pointer: a small text that git holds for a file in LFS, and whose digest follows from the file's.

Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import hashlib


def pointer(digest: str, size_bytes: int) -> bytes:
    """Return the pointer to a file in LFS, named by its sha256.

    >>> pointer("ab" * 32, 7).decode().splitlines()[0]
    'version https://git-lfs.github.com/spec/v1'
    """
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size_bytes}\n".encode()


def git_digest(content: bytes) -> str:
    """Return git's digest of these bytes: the sha1 of a blob.

    >>> git_digest(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
