"""The list of a commit's files that huggingface_hub keeps beside its snapshots.

Source: huggingface_hub 2.4 `_tree_cache.py`: `trees/<commit>.json`, format 1, mode 0600.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from modelshelf.domain import lfs
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import FilePath, is_digest
from modelshelf.errors import BadInput
from modelshelf.store import fs
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


def write(repo: Repo, commit_hash: str, files: Iterable[FileEntry]) -> None:
    """Write the list of all files of a commit, readable for everybody who may enter the folder.

    The git name of an LFS file is that of its pointer, which its digest and size determine. What is lost is the name
    that Xet has for it: huggingface_hub fetches such a file by plain HTTP.
    """
    listing = {file.path: _info(file) for file in sorted(files, key=lambda file: file.path)}
    fs.write_text(repo.tree(commit_hash), json.dumps({"format_version": _FORMAT, "files": listing}, indent=1))


def _info(file: FileEntry) -> dict[str, object]:
    if len(file.digest) == 40:
        return {"size": file.size_bytes, "blob_id": file.digest}
    git_name = lfs.git_digest(lfs.pointer(file.digest, file.size_bytes))
    return {"size": file.size_bytes, "blob_id": git_name, "lfs_sha256": file.digest, "lfs_size": file.size_bytes}


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
    return FileEntry(FilePath(path), size_bytes, digest)
