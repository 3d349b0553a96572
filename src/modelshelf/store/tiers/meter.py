"""How many bytes are under a base: an lstat walk by inode that agrees with `du`, and repeats only what changed.

A repository's subtotal is kept with the mtimes of its folders. New and deleted names change those; a file that grows
in place doesn't, so a repository with a download is walked every time. Only a full walk (`rescan=True`) notices a file
that was rewritten in place. A folder that changed within the last two seconds isn't kept, because another change
may leave it the same mtime: file systems count time in ticks (2 s on FAT). A hard link made elsewhere changes no folder
of the file's first name: unless all links are accounted for, everything is walked.

Source: `du` counts folders and links as well as files; an inode with several links once; since coreutils 9.2
`du --apparent-size` leaves folders out.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from modelshelf.domain.names import FilePath, is_digest
from modelshelf.domain.outside import int_of, list_of, object_of, sequence_of, size_of, sizes_of
from modelshelf.domain.repo_folders import looks_like_repo
from modelshelf.domain.tiers import BREAKDOWN, Usage
from modelshelf.errors import BadInput, ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import Base, Repo
from modelshelf.store.listing import Listing
from modelshelf.store.probe import is_there
from modelshelf.store.small_files import LIST_BYTES, read_small_json

PARTIAL_SUFFIXES = (".incomplete", ".downloadInProgress", ".aim-tmp", fs.TEMPORARY, ".tmp")
"""Suffixes of unfinished files: huggingface_hub's, other tools', and ours."""
_SIZE, _BLOCKS, _LINKS = attrgetter("st_size"), attrgetter("st_blocks"), attrgetter("st_nlink")
_WHERE = attrgetter("st_dev", "st_ino", "st_nlink")
_FORMAT = 2
_SETTLED_NS = 2 * 10**9


@dataclass(slots=True)
class Subtotal:
    """Bytes below one folder."""

    apparent: dict[str, int] = field(default_factory=dict)
    """By kind."""
    allocated_bytes: int = 0
    hole_bytes: int = 0
    """Of parts; see `Usage`."""
    linked: list[tuple[int, int, int, int, int, str]] = field(default_factory=list)
    """Files with several links: device, inode, links, apparent and allocated bytes, kind; counted when summed."""
    folders: dict[str, int] = field(default_factory=dict)
    """Every folder walked, with its mtime in ns."""
    growing: bool = False
    """Whether something in it may grow without a name changing."""

    def add(self, found: Sequence[os.stat_result], kind: str) -> None:
        """Count entries that aren't folders."""
        if max(map(_LINKS, found), default=1) > 1:
            shared = [one for one in found if one.st_nlink > 1]
            self.linked += [(*_WHERE(one), one.st_size, one.st_blocks * 512, kind) for one in shared]
            found = [one for one in found if one.st_nlink == 1]
        self.apparent[kind] = self.apparent.get(kind, 0) + sum(map(_SIZE, found))
        self.allocated_bytes += sum(map(_BLOCKS, found)) * 512

    def add_folder(self, path: str, found: os.stat_result, kind: str) -> None:
        """Count a folder without its content."""
        self.folders[path] = found.st_mtime_ns
        self.apparent[kind] = self.apparent.get(kind, 0) + found.st_size
        self.allocated_bytes += found.st_blocks * 512

    def settled(self, before_ns: int) -> bool:
        """Return whether its folders' mtimes show every later change."""
        return not self.growing and bool(self.folders) and max(self.folders.values()) < before_ns


def measure(
    base: Base,
    *,
    rescan: bool = False,
    keep: bool = False,
    unfinished: Collection[str] = frozenset(),
    listing: Listing | None = None,
) -> Usage:
    """Return what is under a base.

    Args:
        base: The base; one that doesn't exist holds nothing.
        rescan: Walk everything, ignoring kept results.
        keep: Keep the results for the next time, for callers that change the base anyway. Asking writes nothing.
        unfinished: The folders' names of repositories whose files are still coming: there a blob without a link is
            part of a download, and no orphan.
        listing: What was seen of it already, and is to be seen of it.
    """
    kept = {} if rescan else {name: found for name, found in _load(base).items() if name not in unfinished}
    walk = _Walk(base, kept, unfinished, listing)
    parts = list(walk.parts())
    if kept and _has_unseen_links(parts):
        return measure(base, rescan=True, keep=keep, unfinished=unfinished, listing=listing)
    if keep and (walk.fresh.keys() != kept.keys() or any(walk.fresh[name] is not kept[name] for name in walk.fresh)):
        _save(base, walk.fresh)
    return _sum(parts)


def measure_repo(repo: Repo) -> Usage:
    """Return what is in one repository's folder."""
    return _sum([_Walk(Base(repo.root), {}).repo(str(repo.path))])


def _has_unseen_links(parts: list[Subtotal]) -> bool:
    """Return whether a file has more links than were found; a kept subtotal may contain one without saying so."""
    links: dict[tuple[int, int], int] = {}
    met: Counter[tuple[int, int]] = Counter()
    for device, inode, count, *_ in (item for part in parts for item in part.linked):
        met[device, inode] += 1
        links[device, inode] = max(count, links.get((device, inode), 0))
    return any(met[key] < count for key, count in links.items())


def _sum(parts: list[Subtotal]) -> Usage:
    breakdown = dict.fromkeys(BREAKDOWN, 0)
    allocated_bytes = 0
    seen: set[tuple[int, int]] = set()
    for part in parts:
        allocated_bytes += part.allocated_bytes
        for kind, size_bytes in part.apparent.items():
            breakdown[kind] += size_bytes
        for device, inode, _, size_bytes, blocks_bytes, kind in part.linked:
            if (device, inode) not in seen:
                seen.add((device, inode))
                breakdown[kind] += size_bytes
                allocated_bytes += blocks_bytes
    return Usage(sum(breakdown.values()), allocated_bytes, breakdown, sum(part.hole_bytes for part in parts))


class _Walk:
    """One walk over a base.

    Args:
        base: The base.
        kept: What was kept of its repositories, by their folders' names.
        unfinished: See `measure`.
        listing: See `measure`; without one every folder is read, and nothing of it is remembered.
    """

    def __init__(
        self,
        base: Base,
        kept: dict[str, Subtotal],
        unfinished: Collection[str] = frozenset(),
        listing: Listing | None = None,
    ) -> None:
        self._base, self._kept, self._unfinished, self._listing = base, kept, unfinished, listing
        self._entries = listing.readable if listing is not None else _read
        self.fresh: dict[str, Subtotal] = {}
        """What can be kept of its repositories."""

    def parts(self) -> Iterator[Subtotal]:
        """Yield a base's repositories, and what else is in it."""
        base, rest = self._base, Subtotal()
        kinds = {str(base.xet): "xet", str(base.old_transformers): "transformers", str(base.own): "other"}
        _add_folder(rest, str(base.path.resolve()), "other")  # a base may be a link; its content is elsewhere
        # Our own folder first: a blob that is published meanwhile is then counted twice instead of never.
        for entry in sorted(self._entries(str(base.path)), key=lambda entry: entry.path != str(base.own)):
            if entry.path == str(base.hub) and entry.is_dir(follow_symlinks=False):
                yield from self._hub(entry.path)
            else:
                self._add(rest, [entry], kinds.get(entry.path, "other"))
        yield rest

    def _hub(self, hub: str) -> Iterator[Subtotal]:
        rest = Subtotal()
        before_ns = time.time_ns() - _SETTLED_NS
        _add_folder(rest, hub, "other")
        with _opened(hub) as at:
            for entry in self._entries(hub):
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and looks_like_repo(entry.name):
                    old, is_coming = self._kept.get(entry.name), entry.name in self._unfinished
                    is_as_kept = old is not None and self._is_unchanged(hub, at, old)
                    subtotal = old if old is not None and is_as_kept else self.repo(entry.path, is_coming)
                    if is_as_kept or (subtotal.settled(before_ns) and not is_coming):
                        self.fresh[entry.name] = subtotal
                    yield subtotal
                else:
                    self._add(rest, [entry], "shared" if is_folder and entry.name == "blobs" else "other")
        yield rest

    def repo(self, path: str, is_coming: bool = False) -> Subtotal:
        """Return what is in a repository's folder."""
        subtotal, linked_names, blobs = Subtotal(), set[str](), dict[str, os.stat_result]()
        _add_folder(subtotal, path, "models")
        waiting = [path]
        while waiting:
            folder = waiting.pop()
            entries = self._entries(folder)
            below = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
            if below:
                entries = [entry for entry in entries if not entry.is_dir(follow_symlinks=False)]
                waiting += [entry.path for entry in below]
                for entry, found in _with_status(below):
                    subtotal.add_folder(entry.path, found, "models")
            if folder == f"{path}/blobs":
                blobs = {entry.name: found for entry, found in _with_status(entries)}
            else:
                subtotal.add([found for _, found in _with_status(entries)], "models")
                linked_names.update(_linked_names(entries))
        _add_blobs(subtotal, blobs, linked_names, "partial" if is_coming else "orphans")
        above = path.rindex("/") + 1
        subtotal.folders = {folder[above:]: mtime for folder, mtime in subtotal.folders.items()}
        return subtotal

    def _add(self, subtotal: Subtotal, entries: list[os.DirEntry[str]], kind: str) -> None:
        """Count entries and everything below them as one kind; what is under `incoming` is partial."""
        files = []
        for entry, found in _with_status(entries):
            if stat.S_ISDIR(found.st_mode):
                subtotal.add_folder(entry.path, found, kind)
                below = "partial" if entry.path == str(self._base.incoming) else kind
                self._add(subtotal, self._entries(entry.path), below)
            else:
                files.append(found)
                if kind == "partial" and entry.path.endswith(".part"):
                    subtotal.hole_bytes += max(0, found.st_size - found.st_blocks * 512)
        subtotal.add(files, kind)

    def _is_unchanged(self, hub: str, at: int, kept: Subtotal) -> bool:
        try:
            for folder, mtime_ns in kept.folders.items():
                entry = self._listing.folder(f"{hub}/{folder}") if self._listing is not None else None
                found = os.lstat(folder, dir_fd=at) if entry is None else entry.stat(follow_symlinks=False)
                if found.st_mtime_ns != mtime_ns:
                    return False
        except OSError:
            return False
        return True


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int]:
    """Give a descriptor of a folder, from which what is below is found faster than by whole paths; -1 without one."""
    try:
        at = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        yield -1
        return
    try:
        yield at
    finally:
        os.close(at)


def _with_status(entries: list[os.DirEntry[str]]) -> list[tuple[os.DirEntry[str], os.stat_result]]:
    """Return entries with their status, without those that others deleted while we walk."""
    try:
        return [(entry, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        return [(entry, found) for entry in entries if (found := _lstat(entry)) is not None]


def _linked_names(entries: list[os.DirEntry[str]]) -> list[str]:
    """Return the names of what the links among entries lead to."""
    links = [entry.path for entry in entries if entry.is_symlink()]
    try:
        return [os.readlink(link).rpartition("/")[2] for link in links]  # noqa: PTH115 - a Path doubles the walk
    except OSError:
        return [_text_of(link).rpartition("/")[2] for link in links]


def _text_of(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - as above
    except OSError:
        return ""


def _add_blobs(subtotal: Subtotal, blobs: dict[str, os.stat_result], linked: set[str], unlinked: str) -> None:
    """Count what is in a folder of blobs: those that a snapshot links to, and the others as `unlinked`."""
    whole = {name: found for name, found in blobs.items() if is_digest(name)}
    subtotal.add([found for name, found in whole.items() if name in linked], "models")
    subtotal.add([found for name, found in whole.items() if name not in linked], unlinked)
    for name in blobs.keys() - whole.keys():
        subtotal.growing = True
        subtotal.add([blobs[name]], "partial" if name.endswith(PARTIAL_SUFFIXES) else "other")


def _add_folder(subtotal: Subtotal, path: str, kind: str) -> None:
    with contextlib.suppress(OSError):
        subtotal.add_folder(path, os.lstat(path), kind)


def _read(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []


def _lstat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None


def _load(base: Base) -> dict[str, Subtotal]:
    try:
        stored = object_of(read_small_json(base.meter, LIST_BYTES), "format", "repos")
        if stored["format"] != _FORMAT:
            return {}
        return {name: _parse(name, kept) for name, kept in object_of(stored["repos"]).items()}
    except (OSError, BadInput):
        return {}


def _parse(name: str, kept: object) -> Subtotal:
    """Return what was kept of one repository's folder.

    Raises:
        BadInput: It isn't what `_save` writes.
    """
    apparent, allocated, linked, folders = sequence_of(kept, 4)
    subtotal = Subtotal(allocated_bytes=size_of(allocated), linked=list(list_of(linked, _linked)))
    subtotal.apparent = {kind: size_of(count) for kind, count in object_of(apparent).items() if kind in BREAKDOWN}
    mtimes = object_of(folders, name)
    FilePath.check(list(mtimes))
    subtotal.folders = dict(zip(mtimes, sizes_of(list(mtimes.values())), strict=True))
    return subtotal


def _linked(item: object) -> tuple[int, int, int, int, int, str]:
    device, inode, links, apparent, allocated, kind = sequence_of(item, 6)
    if kind not in BREAKDOWN:
        raise BadInput(f"{kind!r:.80} isn't a kind of bytes.")
    return int_of(device), int_of(inode), size_of(links), size_of(apparent), size_of(allocated), str(kind)


def _save(base: Base, fresh: dict[str, Subtotal]) -> None:
    if not is_there(base.marker):
        return
    repos = {name: (s.apparent, s.allocated_bytes, s.linked, s.folders) for name, s in fresh.items()}
    try:
        fs.write_text(base.path, base.meter, json.dumps({"format": _FORMAT, "repos": repos}, separators=(",", ":")))
    except (ShelfError, OSError):
        return  # a read-only base is measured all the same, a little slower
