"""Whether a file is what its name says, and whether a snapshot is whole: the one judge for everybody who has to know.

Bytes with a digest of the Hub are left to `verify`; of any other file the first bytes are read. `domain/file_kinds.py`
says what a file is by these.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from modelshelf.domain import file_kinds
from modelshelf.domain.adopt_inventory import FoundFile, Says, why_partial
from modelshelf.domain.file_kinds import HEAD_BYTES
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import Digest
from modelshelf.domain.outside import object_of
from modelshelf.errors import BadInput
from modelshelf.store.repos import scan
from modelshelf.store.small_files import LIST_BYTES, read_small_json
from modelshelf.store.unnoticed import open_unnoticed

_PIPELINE = "model_index.json"


def head(path: Path) -> bytes:
    """Return the first bytes of a regular file, without following it if it is a link; nothing of anything else."""
    return _read(path, HEAD_BYTES)


def link_text(path: Path) -> Digest | None:
    """Return the digest of the blob that a text file leads to if the file was a link once; None otherwise."""
    try:
        found = path.lstat()
    except OSError:
        return None
    is_short = stat.S_ISREG(found.st_mode) and found.st_size <= HEAD_BYTES
    return file_kinds.link_in(head(path)) if is_short else None


def why_not(path: Path, name: str) -> str:
    """Return why a file isn't what its name says, as the end of a sentence after its name; empty if it may be.

    Args:
        path: A regular file.
        name: Its path in the repository.
    """
    try:
        found = path.stat()
    except OSError:
        return ""
    return file_kinds.why_not(name, found.st_size, head(path))


def why_unread(path: Path) -> str:
    """Return why a plain file can't be read, as the end of a sentence after its name; empty if it can.

    "May not be read" differs from "isn't there".
    """
    try:
        found = path.lstat()
    except PermissionError:
        return "can't be examined by this user"
    except OSError:
        return "isn't there"
    if not stat.S_ISREG(found.st_mode):
        return "is a link" if stat.S_ISLNK(found.st_mode) else "isn't a file"
    return "" if scan.may_read(path) else f"can't be read by this user (it belongs to uid {found.st_uid})"


def says(folder: Path, names: Iterable[str]) -> Says:
    """Return what a snapshot's files say about which files belong to it.

    Args:
        folder: The snapshot.
        names: The paths of its files.
    """
    indexes: dict[str, Sequence[str]] = {}
    components: Sequence[str] = ()
    for name in names:
        if name.endswith(".index.json"):
            weight_map = _read_object(folder / name).get("weight_map")
            if isinstance(weight_map, dict):
                indexes[name] = sorted({part for part in weight_map.values() if isinstance(part, str)})
        elif name == _PIPELINE:
            components = [key for key, value in _read_object(folder / name).items() if _is_component(value)]
    return Says(indexes, components)


def why_not_whole(
    folder: Path, files: Iterable[FoundFile], listed: Sequence[FileEntry], arriving: Iterable[str] = ()
) -> str:
    """Return why a snapshot's files aren't a model, in a sentence; empty if they are.

    Args:
        folder: The snapshot.
        files: The existing files; one without a digest is judged by its bytes.
        listed: All files of the commit; none if they aren't known.
        arriving: Digests of partial downloads there.
    """
    files = list(files)
    unknown = [file.path for file in files if not file.digest]
    doubts = (f"{path} {why}." for path in unknown if (why := why_not(folder / path, path)))
    return next(doubts, "") or why_partial(files, listed, arriving, says(folder, (file.path for file in files)))


def _is_component(value: object) -> bool:
    """Return whether an entry of `model_index.json` is a library and a class."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _read_object(path: Path) -> dict[str, object]:
    with contextlib.suppress(OSError, RuntimeError, BadInput):  # a loop of links is a RuntimeError before Python 3.13
        return object_of(read_small_json(path.resolve(strict=True), LIST_BYTES))
    return {}


def _read(path: Path, size_bytes: int) -> bytes:
    """Return so many first bytes of a regular file; nothing of a link, a pipe, or a file that can't be read."""
    with contextlib.suppress(OSError):
        fd = open_unnoticed(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.read(fd, size_bytes) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)
    return b""
