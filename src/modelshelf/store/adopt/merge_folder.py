"""Bringing a folder into a base file by file, merging with existing files: for what isn't a registered model.

First everything is brought, bytes before the links that lead to them; only then the old names are deleted. Files that
are on the target and equal are kept; files that differ stay at the source.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.domain.names import CommitHash
from modelshelf.domain.ports import Progress
from modelshelf.errors import BadInput, Corrupt
from modelshelf.store import fs
from modelshelf.store.blobs import copy, link_or_clone, shared_store
from modelshelf.store.blobs.partial import digest_of
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_file, is_folder, is_link, is_real_file, is_real_folder, is_there
from modelshelf.store.repos import scan
from modelshelf.store.small_files import read_small_text

_READ_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Piece:
    """One file or link."""

    path: Path
    """Its path."""
    real: Path
    """The regular file with its bytes; the path itself for a link that is kept."""
    target: Path
    """Its path on the target."""
    size_bytes: int
    link: str = ""
    """The link's text, for a link that is kept."""
    is_there: bool = False
    """Whether the target exists and is equal."""


@dataclass(frozen=True, slots=True)
class Carrying:
    """What bringing a folder will do."""

    source: Path
    root: Path
    """The root below which, and nowhere else, old names are deleted."""
    pieces: tuple[Piece, ...]
    left: tuple[str, ...]
    """What stays and why, in sentences."""

    @property
    def need_bytes(self) -> int:
        """How many bytes the target lacks."""
        return sum(piece.size_bytes for piece in self.pieces if not piece.is_there and not piece.link)


def plan(source: Path, target: Path, root: Path, but: Set[Path] = frozenset()) -> Carrying:
    """Return what bringing a folder, or one file, does.

    Args:
        source: The folder.
        target: Its path on the target.
        root: The folder that no link may lead out of.
        but: Files that aren't looked at.
    """
    pieces: list[Piece] = []
    left: list[str] = []
    real_root = root.resolve()
    for path in [source] if is_real_file(source) else scan.walk_files(source):
        if path in but:
            continue
        goal = target / path.relative_to(source) if path != source else target
        try:
            found = _piece(path, goal, source, real_root)
        except (OSError, RuntimeError) as err:
            found = f"{path} is a broken link, or cannot be read ({type(err).__name__})."
        if isinstance(found, Piece):
            pieces.append(found)
        else:
            left.append(found)
    return Carrying(source, root, tuple(pieces), tuple(left))


def _piece(path: Path, goal: Path, source: Path, root: Path) -> Piece | str:
    """Return a file or link with its target path, or why it stays, in a sentence."""
    if _is_ref(path, source) and _dangles(path, source):
        return f"{path} leads to no snapshot."
    real = path.resolve(strict=True)
    if is_link(path):
        if root not in real.parents:
            return f"{path} is a link out of the cache to {real}: not followed."
        if source.resolve() in real.parents or _stays_inside(path, source):
            text = os.path.relpath(os.path.normpath(path.parent / path.readlink()), path.parent)
            return _known(Piece(path, path, goal, 0, text))
    else:
        real = path
    return _why_not(path, real) or _known(Piece(path, real, goal, real.stat().st_size))


def _why_not(path: Path, real: Path) -> str:
    if not stat.S_ISREG(real.stat().st_mode):
        return f"{path} isn't a file."
    if not scan.may_read(real):
        return f"This user can't read {path}."
    if path.suffix == ".incomplete" and open_files.users_of([real]):
        return f"{path} is being written."
    return ""


def _stays_inside(path: Path, source: Path) -> bool:
    """Return whether a link leads first into its own folder, even if it goes on into the shared store."""
    return Path(os.path.normpath(source)) in Path(os.path.normpath(path.parent / path.readlink())).parents


def _is_ref(path: Path, source: Path) -> bool:
    return source / "refs" in path.parents and is_folder(source / "snapshots")


def _dangles(ref: Path, source: Path) -> bool:
    """Return whether a repository's ref leads to no snapshot."""
    with contextlib.suppress(OSError, BadInput):
        return not is_folder(source / "snapshots" / CommitHash(read_small_text(ref).strip()))
    return True


def _known(piece: Piece) -> Piece | str:
    """Compare with what is at the target; return why the piece stays if it differs."""
    if not is_there(piece.target):
        return piece
    if piece.link and is_link(piece.target):
        same = str(piece.target.readlink()) == piece.link
    elif piece.link:
        same = _same_bytes(piece.path.resolve(), piece.target)
    else:
        same = _same_bytes(piece.real, piece.target)
    if not same:
        return f"{piece.path} differs from {piece.target}."
    return Piece(piece.path, piece.real, piece.target, piece.size_bytes, piece.link, is_there=True)


def _same_bytes(one: Path, other: Path) -> bool:
    if not is_file(other) or one.stat().st_size != other.stat().st_size:
        return False
    return scan.is_same(one, other) or digest_of(one) == digest_of(other)


def can_share(carrying: Carrying, base: Base) -> bool:
    """Return whether the bytes get to a base without a copy."""
    sample = next((piece.real for piece in carrying.pieces if not piece.link and not piece.is_there), None)
    return sample is None or link_or_clone.probe_share(base.path, sample, base.own) != "copy"


def bring(carrying: Carrying, base: Base, progress: Progress, on_written: Callable[[int], None]) -> None:
    """Bring everything into a base.

    **Crash:** some of it is there; the next call brings the rest. The source isn't touched.

    Args:
        carrying: The plan.
        base: The target.
        progress: Told how far the work is.
        on_written: Called with the number of bytes just written.
    """
    for piece in sorted(carrying.pieces, key=lambda piece: (_is_ref(piece.path, carrying.source), bool(piece.link))):
        progress.check()
        if piece.is_there:
            continue
        if piece.link:
            fs.make_link(base.path, piece.target, piece.link)
        elif _is_ref(piece.path, carrying.source):  # programs write refs in place, which would change a hard link too
            fs.write_text(base.path, piece.target, read_small_text(piece.real))
        elif copy.bring(piece.real, base, None, piece.size_bytes, piece.target, progress, on_written) == "copy":
            fs.take_mode(base.path, piece.target, piece.real)
    for folder in {piece.target.parent for piece in carrying.pieces if piece.link}:
        fs.fsync_folder(base.path, folder)


def why_kept(carrying: Carrying) -> str:
    """Return why the old names can't be deleted yet, in a sentence; empty if they can."""
    users = open_files.users_of(piece.real for piece in carrying.pieces if not piece.link)
    return f"{carrying.source} is used by {', '.join(users)}: it stays until the next run." if users else ""


def drop(carrying: Carrying, cache_dir: Base | None = None) -> Freed:
    """Delete the old names of what is at its target now; return what that freed.

    Nothing is deleted whose target is missing: refs go first, then links, then bytes, then empty folders.

    Args:
        carrying: The plan that was carried out.
        cache_dir: The folder of the shared store, whose payloads are swept by its own rules.

    Raises:
        Corrupt: A target is missing; nothing more is deleted.
    """
    freed = Freed()
    payloads = {piece.real for piece in carrying.pieces if piece.real != piece.path}
    for piece in sorted(carrying.pieces, key=lambda piece: (piece.path.parent.name != "refs", not piece.link)):
        if not is_there(piece.target) or (not piece.link and piece.target.stat().st_size != piece.size_bytes):
            raise Corrupt(f"{piece.target} is missing; {piece.path} stays.")
        if not (is_there(piece.path) and _is_target(piece)):
            freed += fs.remove_file(carrying.root, piece.path)
    if cache_dir is not None:
        for payload in sorted(payloads):
            freed += shared_store.sweep(cache_dir, payload)
    return freed + remove_empty_folders(carrying.root, carrying.source)


def _is_target(piece: Piece) -> bool:
    """Return whether old and new name are the same file, as if a folder is brought into itself by another path."""
    return piece.path.parent.resolve() / piece.path.name == piece.target.parent.resolve() / piece.target.name


def remove_empty_folders(root: Path, folder: Path) -> Freed:
    """Delete empty folders below a folder, and the folder itself if it is empty."""
    freed = Freed()
    if not is_real_folder(folder):
        return freed
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        children: Sequence[Path] = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for child in children:
            freed += remove_empty_folders(root, child)
    return freed + fs.remove_empty_folder(root, folder)
