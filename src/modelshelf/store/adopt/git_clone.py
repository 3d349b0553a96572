"""Clones of the Hub's repositories by git and git-lfs. Never changed; git isn't run, for its settings may run programs.

Git's index says which content each file has at the checked-out commit: the digest of a small file, or of the pointer
to a file in LFS, which follows from the object's digest and size. The commit itself isn't taken over, because files may
be staged that no commit has.

Source: git `Documentation/gitformat-index.txt` (versions 2 and 3); git-lfs `docs/spec.md`: objects are at
`.git/lfs/objects/aa/bb/<sha256>`.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from modelshelf.domain import lfs
from modelshelf.domain.adopt_inventory import FoundFile, FoundModel, Origin
from modelshelf.domain.file_kinds import is_pointer
from modelshelf.domain.names import SHA256, Digest, FilePath, RepoId
from modelshelf.errors import BadInput
from modelshelf.store.adopt.foreign import NO_COMMIT, fits, is_plain, repo_id_of
from modelshelf.store.probe import is_real_folder
from modelshelf.store.repos import judge, scan
from modelshelf.store.small_files import LIST_BYTES, read_small_bytes, read_small_text

_REMOTE = re.compile(r'\[remote "origin"\][^\[]*?^\s*url\s*=\s*(\S+)', re.MULTILINE)
_HUB = re.compile(
    r"(?:https?://(?:[^@/]*@)?|ssh://git@|git@)(?:huggingface\.co|hf\.co)[/:]([^/\s]+/[^/\s]+?)(?:\.git)?/?"
)
_HEADER = struct.Struct(">4sII")
_FIXED_BYTES = 62
"""An entry up to its name: times, ids, mode, size, digest, flags."""
_REGULAR = 0b1000
_EXTENDED, _STAGE = 0x4000, 0x3000


class _Object(NamedTuple):
    """An object of LFS."""

    digest: Digest
    size_bytes: int
    path: Path


def is_clone(path: Path) -> bool:
    """Return whether a folder is a clone with a checked-out commit."""
    return is_real_folder(path / ".git") and is_plain(path / ".git" / "index")


def read(path: Path, repo_id: str = "") -> FoundModel:
    """Return the model of a clone.

    Args:
        path: The clone.
        repo_id: Its repository, if its remote isn't a hub.
    """
    asked = repo_id or _remote(path) or ""
    trouble = "" if asked else "Its remote isn't on huggingface.co: name its repository with --repo ORG/NAME."
    files: list[FoundFile] = []
    sources: list[tuple[str, str]] = []
    try:
        objects = {lfs.git_digest(lfs.pointer(each.digest, each.size_bytes)): each for each in _objects(path)}
        for name, digest in _index(read_small_bytes(path / ".git" / "index", LIST_BYTES)):
            stored, plain = objects.get(digest), path / name
            if stored is not None:
                files.append(FoundFile(name, stored.size_bytes, stored.digest))
                sources.append((name, str(stored.path)))
            elif is_plain(plain) and not is_pointer(judge.head(plain)):
                files.append(FoundFile(name, plain.stat().st_size, digest))
                sources.append((name, str(plain)))
    except (OSError, BadInput, struct.error):
        trouble = trouble or "Its git index can't be understood."
    return FoundModel(
        kind=Origin.GIT,
        place=str(path),
        repo_id=asked,
        commit_hash="",
        files=tuple(files),
        revision="main",
        trouble=trouble or judge.why_not_whole(path, files, ()),
        called="" if asked else path.name,
        sources=tuple(sources),
        note=NO_COMMIT,
    )


def _remote(path: Path) -> RepoId | None:
    with contextlib.suppress(OSError, BadInput):
        remote = _REMOTE.search(read_small_text(path / ".git" / "config"))
        hub = _HUB.fullmatch(remote[1]) if remote else None
        return repo_id_of(hub[1]) if hub else None
    return None


def _objects(path: Path) -> Iterator[_Object]:
    for file in scan.walk_files(path / ".git" / "lfs" / "objects"):
        if SHA256.fullmatch(file.name) and is_plain(file):
            yield _Object(Digest(file.name), file.stat().st_size, file)


def _index(content: bytes) -> Iterator[tuple[FilePath, Digest]]:
    """Yield each regular file that an index names, with the digest of its content.

    Raises:
        BadInput: It has another version.
        struct.error: It is cut off.
    """
    magic, version, count = _HEADER.unpack_from(content)
    if magic != b"DIRC" or version not in (2, 3):
        raise BadInput("This isn't an index of version 2 or 3.")
    at = _HEADER.size
    for _ in range(count):
        mode, digest, flags = struct.unpack_from(">24xI12x20sH", content, at)
        if flags & _STAGE:
            raise BadInput("A merge in it isn't finished.")
        begin = at + _FIXED_BYTES + (2 if flags & _EXTENDED else 0)
        end = content.find(b"\0", begin)
        if end < 0:
            raise BadInput("The index is cut off.")
        name = content[begin:end].decode(errors="replace")
        if mode >> 12 == _REGULAR and fits(name):
            yield FilePath(name), Digest(digest.hex())
        at += (end - at) // 8 * 8 + 8  # each entry is padded with 1 to 8 NUL bytes
