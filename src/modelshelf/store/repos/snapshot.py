"""One snapshot on one disk: where its bytes are, and what describes it.

Without symbolic links the bytes are in the snapshot itself and `blobs/` stays empty, as in huggingface_hub. Every link
written here is relative and stays inside its base.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest, RefName
from modelshelf.store import fs
from modelshelf.store.layout import Base, Repo
from modelshelf.store.probe import followed, is_there, real_path
from modelshelf.store.repos import scan, trees

CACHEDIR_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by huggingface_hub.\n"
    "# For information about cache directory tags, see:\n"
    "#	https://bford.info/cachedir/\n"
)


def locate(base: Base, repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry]) -> dict[Digest, Path]:
    """Return the regular file with each digest's bytes, by name and size alone.

    The snapshot's own path comes first, then the blob; a link into the shared store is followed, one out of the
    base isn't. What is missing or has another size is left out.
    """
    found: dict[Digest, Path] = {}
    root = real_path(base.hub)
    for file in files:
        if file.digest in found:
            continue
        for path in (repo.snapshot(commit_hash) / file.path, repo.blob(file.digest)):
            real = real_file(path, root)
            if real is not None and real.stat().st_size == file.size_bytes:
                found[file.digest] = real
                break
    return found


def held(
    base: Base, repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry], *, symlinks: bool
) -> dict[Digest, Path]:
    """Return the file where this base holds each digest's bytes, whatever its size.

    That is the blob, or without symbolic links also a file of the snapshot with the right size. A blob that is a
    link out of the base doesn't count, because its target may be deleted at any time.
    """
    files = list(files)
    root = real_path(base.hub)
    blobs = {file.digest: repo.blob(file.digest) for file in files}
    found = {digest: blob for digest, blob in blobs.items() if real_file(blob, root) is not None}
    if symlinks:
        return found
    located = locate(base, repo, commit_hash, files)
    return found | {digest: path for digest, path in located.items() if not _is_same(found.get(digest), path)}


def sizes(paths: Mapping[Digest, Path]) -> dict[Digest, int]:
    """Return the sizes in bytes of files by digest; a deleted one is left out."""
    found: dict[Digest, int] = {}
    for digest, path in paths.items():
        with contextlib.suppress(OSError):
            found[digest] = path.stat().st_size
    return found


def second_bytes(files: Iterable[FileEntry]) -> int:
    """Return the bytes that a snapshot without links takes beyond its distinct contents."""
    paths = list(files)
    return sum(file.size_bytes for file in paths) - sum({file.digest: file.size_bytes for file in paths}.values())


def copy_extras(source: Repo, target: Repo, commit_hash: CommitHash) -> None:
    """Bring what describes a snapshot: its tree list, readable for others, and its negative cache."""
    trees.bring(source, target, commit_hash)
    for path in scan.walk_files(source.no_exist(commit_hash)):
        absent = target.no_exist(commit_hash) / path.relative_to(source.no_exist(commit_hash))
        if not is_there(absent):
            fs.write_text(target.root, absent, "")


def set_refs(repo: Repo, refs: Mapping[RefName, CommitHash], *, overwrite: bool) -> None:
    """Write refs, revision to commit; existing ones are replaced only with `overwrite`."""
    for revision, commit_hash in refs.items():
        there = scan.ref(repo, revision)
        if there != commit_hash and (overwrite or there is None):
            fs.write_text(repo.root, repo.ref(revision), commit_hash)


def tag_cache(base: Base) -> None:
    """Write the CACHEDIR.TAG that makes backup programs skip the folder, as huggingface_hub does."""
    tag = base.hub / "CACHEDIR.TAG"
    if not is_there(tag):
        fs.write_text(base.path, tag, CACHEDIR_TAG)


def _is_same(path: Path | None, other: Path) -> bool:
    return path is not None and path.resolve() == other


def file_in(snapshot: Path, name: str, root: Path) -> Path | None:
    """Return the path of a snapshot's file if it leads to a regular file below `root`, a real path; else None."""
    path = snapshot / name
    return path if real_file(path, root) is not None else None


def real_file(path: Path, root: Path) -> Path | None:
    """Return the regular file that a name leads to, if it is below `root` (a real path); None otherwise."""
    try:
        real, found = followed(path)
    except OSError:
        return None
    return Path(real) if real.startswith(f"{root}/") and stat.S_ISREG(found.st_mode) else None
