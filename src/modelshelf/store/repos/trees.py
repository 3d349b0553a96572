"""The list of a commit's files that huggingface_hub keeps beside its snapshots.

Source: huggingface_hub 2.4 `_tree_cache.py`: `trees/<commit>.json`, format 1, mode 0600.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable

from modelshelf.domain import lfs
from modelshelf.domain.models import FileEntry, entries_of
from modelshelf.domain.names import CommitHash
from modelshelf.domain.outside import object_of
from modelshelf.errors import BadInput
from modelshelf.store import fs
from modelshelf.store.layout import Repo
from modelshelf.store.small_files import LIST_BYTES, read_small_json, read_small_text

_FORMAT = 1


def read(repo: Repo, commit_hash: CommitHash) -> tuple[FileEntry, ...]:
    """Return all files of a commit, by path; nothing without a list, or with one that can't be trusted."""
    try:
        return parse(read_small_json(repo.tree(commit_hash), LIST_BYTES))
    except (OSError, BadInput):
        return ()


def parse(value: object) -> tuple[FileEntry, ...]:
    """Return a listing's files, by path; nothing if its format isn't known.

    Raises:
        BadInput: It isn't a listing.
    """
    listing = object_of(value, "format_version", "files")
    if listing["format_version"] != _FORMAT:
        return ()
    files = sorted(object_of(listing["files"]).items())
    found = [_size_and_digest(info) for _, info in files]
    sizes, digests = [size_bytes for size_bytes, _ in found], [digest for _, digest in found]
    return entries_of([path for path, _ in files], sizes, digests)


def write(repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry]) -> None:
    """Write the list of all files of a commit, readable for everybody who may enter the folder.

    The git digest of an LFS file is its pointer's, which follows from its digest and size. What is lost is the name
    that Xet has for it: huggingface_hub fetches such a file by plain HTTP. Without those hashes its list of the same
    commit has the same bytes.
    """
    listing = {file.path: _info(file) for file in sorted(files, key=lambda file: file.path)}
    fs.write_text(
        repo.root, repo.tree(commit_hash), json.dumps({"format_version": _FORMAT, "files": listing}, indent=1)
    )


def bring(source: Repo, target: Repo, commit_hash: CommitHash) -> None:
    """Make the target's list of a commit name what the source's does, readable for others.

    A commit never changes, so its lists differ only if one is short: some hubs list only what they have.
    """
    here, there = read(target, commit_hash), read(source, commit_hash)
    if set(there) <= set(here):
        return
    if set(here) <= set(there):
        with contextlib.suppress(OSError, BadInput):  # unchanged: it may know what Xet calls the files
            fs.write_text(target.root, target.tree(commit_hash), read_small_text(source.tree(commit_hash), LIST_BYTES))
        return
    write(target, commit_hash, {file.path: file for file in (*there, *here)}.values())


def _info(file: FileEntry) -> dict[str, object]:
    if len(file.digest) == 40:
        return {"size": file.size_bytes, "blob_id": file.digest}
    git_name = lfs.git_digest(lfs.pointer(file.digest, file.size_bytes))
    return {"size": file.size_bytes, "blob_id": git_name, "lfs_sha256": file.digest, "lfs_size": file.size_bytes}


def _size_and_digest(info: object) -> tuple[object, object]:
    if not isinstance(info, dict):
        raise BadInput(f"{info!r:.80} isn't an object.")
    if (digest := info.get("lfs_sha256")) is None:
        return info.get("size"), info.get("blob_id")
    return info.get("lfs_size"), digest
