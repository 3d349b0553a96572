"""The list of a commit's files that huggingface_hub keeps beside its snapshots.

Source: huggingface_hub 2.4 `_tree_cache.py`: `trees/<commit>.json`, format 1, mode 0600.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import check_file_path, is_digest
from modelshelf.errors import BadInput
from modelshelf.store.layout import Repo

_FORMAT = 1


def read(repo: Repo, commit_hash: str) -> tuple[FileEntry, ...]:
    """Return all files of a commit, by path; nothing where no list is there, or none that can be trusted."""
    try:
        listing = json.loads(repo.tree(commit_hash).read_text(encoding="utf-8"))
        if listing["format_version"] != _FORMAT:
            return ()
        return tuple(sorted((_entry(path, info) for path, info in listing["files"].items()), key=lambda f: f.path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadInput):
        return ()


def _entry(path: str, info: Mapping[str, Any]) -> FileEntry:
    """Return one file of a listing.

    Raises:
        ValueError, KeyError, TypeError, BadInput: It is none.
    """
    is_lfs = info.get("lfs_sha256") is not None
    digest = str(info["lfs_sha256"] if is_lfs else info["blob_id"])
    size_bytes = int(info["lfs_size"] if is_lfs else info["size"])
    if not is_digest(digest) or size_bytes < 0:
        raise ValueError(digest)
    return FileEntry(check_file_path(path), size_bytes, digest)
