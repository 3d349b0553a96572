"""Finding garbage: what nothing links to, what nobody writes any more, what is empty. Nothing is changed here.

What can't be read never counts as absent: if a folder can't be read or is a link, the blobs stay.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from modelshelf.domain.gc import GcItem, Needs
from modelshelf.domain.names import COMMIT_HASH, Digest, RepoId, is_digest
from modelshelf.domain.temporary_names import any_temporary, is_probe, is_temporary
from modelshelf.store.blobs import shared_store
from modelshelf.store.layout import Base, Repo
from modelshelf.store.listing import Listing
from modelshelf.store.repos import lost_links, scan
from modelshelf.units import format_size, many

_NAME = attrgetter("name")
_NAMING = frozenset({"snapshots", "refs", "trees", ".no_exist"})
"""What says, or once said, which files a repository's blobs are."""


@dataclass(frozen=True, slots=True)
class BaseState:
    """The state of a base when it was scanned."""

    base: Base
    needs: Needs
    now_s: float
    min_age_s: float
    opened: Set[tuple[int, int]]
    """Device and inode of the files that processes have open."""
    store_is_known: bool
    """Whether the shared store has a layout that huggingface_hub knows, or doesn't exist."""
    links: Set[str] = frozenset()
    """The targets of all snapshots' links in the base."""
    others_pull: bool = False
    """Whether blobs arrive here that this registry knows nothing of; whole ones aren't linked yet."""

    def age_s(self, found: os.stat_result) -> float:
        """Return how many seconds ago something was written, renamed or linked; a rename keeps only the mtime."""
        return self.now_s - max(found.st_mtime, found.st_ctime)

    def is_old(self, found: os.stat_result) -> bool:
        """Return whether nobody touched it for long."""
        return self.age_s(found) >= self.min_age_s

    def is_dead(self, found: os.stat_result) -> bool:
        """Return whether nobody touched it for long, and nobody has it open."""
        return self.is_old(found) and (found.st_dev, found.st_ino) not in self.opened


@dataclass(frozen=True, slots=True)
class Walked:
    """A repository's folder, walked once."""

    repo_type: str
    repo_id: RepoId | None
    """None if its folder has a name that isn't a repository's."""
    repo: Repo
    entries: tuple[tuple[str, os.stat_result], ...]
    """Everything below it, a folder after its content."""
    links: Set[str]
    """The targets of its snapshots' links."""
    faults: tuple[str, ...]
    """Why some of it couldn't be read; then nothing counts as unneeded."""


@dataclass(slots=True)
class RepoGarbage:
    """What was found in a repository."""

    items: list[GcItem] = field(default_factory=list)
    in_flight: bool = False
    """Whether a program downloads into it."""
    recent_bytes: int = 0
    """What may be garbage, and is too young or open to tell."""
    notes: list[str] = field(default_factory=list)


def walk(repo_type: str, repo_id: RepoId | None, repo: Repo) -> Walked:
    """Walk a repository's folder once, reading every name; no link is followed."""
    faults: list[str] = []
    inner = (repo.blobs, repo.snapshots, repo.refs, repo.trees, repo.absences)
    faults += [f"{folder} is a link: nothing is deleted through it." for folder in inner if os.path.islink(folder)]  # noqa: PTH114 - False where it may not be asked
    entries = tuple(_walk(str(repo.path), faults))
    links: set[str] = set()
    known: dict[str, str] = {}
    below = f"{repo.snapshots}/"
    blobs = os.path.realpath(repo.blobs)
    for path, found in entries:
        if stat.S_ISLNK(found.st_mode) and path.startswith(below):
            leads_to = target(path, known)
            if leads_to.rpartition("/")[0] != blobs and os.path.isdir(leads_to):  # noqa: PTH112 - strings all the way, as in the walk
                faults.append(f"{path} is a link to a folder: shelf can't tell what it needs.")
            links.add(leads_to)
    return Walked(repo_type, repo_id, repo, entries, links, tuple(faults))


def links_of_strange(base: Base) -> frozenset[str]:
    """Return the link targets of repositories with unreadable names, which stay."""
    return frozenset[str]().union(*(walk("", None, repo).links for repo in scan.strange_repos(base)))


def is_all_needed(look: BaseState, repo_type: str, repo_id: RepoId, repo: Repo, listing: Listing) -> bool:
    """Return whether registered models need every blob of a repository, and nothing temporary lies in it.

    Then there is no garbage, wherever its links lead; False as well where not everything can be seen.

    Args:
        look: What is known.
        repo_type: What kind of repository it is.
        repo_id: Its id.
        repo: Its folder.
        listing: What was seen of it already.
    """
    wanted = look.needs.digests.get(repo_id) if repo_type == "model" else None
    if wanted is None:
        return False
    root, blobs, names = repo.folder, repo.folders.blobs, dict[str, list[str]]()
    folders = [root]
    try:
        if len(listing.below(root)) < len(listing.entries(root)):
            return False
        for folder in folders:  # grows
            entries = listing.entries(folder)
            if folder == blobs:
                if not wanted >= set(map(_NAME, entries)):
                    return False
                continue
            names.setdefault(folder[len(root) + 1 :].partition("/")[0], []).extend(map(_NAME, entries))
            folders += [entry.path for entry in listing.below(folder)]
    except OSError:
        return False
    return not any_temporary(names)


def links_of(repo: Repo, listing: Listing) -> Iterator[str]:
    """Yield where the links of a repository's snapshots lead."""
    known: dict[str, str] = {}
    for entry in listing.walk(str(repo.snapshots)):
        if entry.is_symlink():
            yield target(entry.path, known)


def _walk(folder: str, faults: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as err:
        faults.append(f"{folder} cannot be read ({err.strerror}): shelf can't tell what it needs.")
        return
    for entry in listed:
        with contextlib.suppress(FileNotFoundError):
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                yield from _walk(entry.path, faults)
            yield entry.path, found


def target(link: str, known: dict[str, str]) -> str:
    """Return a link's target with its folder's real path: an absolute link may use another path of the base."""
    try:
        text = os.readlink(link)  # noqa: PTH115 - a Path for each of 40,000 links doubles the walk
    except OSError:
        return ""
    folder, _, name = os.path.normpath(f"{link.rpartition('/')[0]}/{text}" if text[:1] != "/" else text).rpartition("/")
    return f"{real_folder(folder, known)}/{name}"


def real_folder(folder: str, known: dict[str, str]) -> str:
    """Return the real path of a folder, asking once."""
    if folder not in known:
        known[folder] = os.path.realpath(folder)
    return known[folder]


def in_repo(look: BaseState, walked: Walked) -> RepoGarbage:
    """Return the garbage in a repository."""
    found = _partials(look, walked)
    loose = _unlinked(look, walked)
    lost = _lost(look, walked, loose)
    wanted = _wanted(look, walked) | lost.keys()
    if lost:
        found.notes.append(_why_lost(look, walked, lost))
    young = [status for path, status in loose if path.rpartition("/")[2] not in wanted and not look.is_dead(status)]
    found.recent_bytes += sum(map(freed_by, young))
    found.in_flight |= any(not look.is_old(status) for _, status in loose)
    ours = walked.repo_id if walked.repo_type == "model" else None
    if walked.faults or found.in_flight or ours in look.needs.busy:
        return found
    if not look.others_pull:
        found.items += _orphans(look, walked, [(p, s) for p, s in loose if p.rpartition("/")[2] not in wanted])
    if ours not in look.needs.digests and not lost and _is_quiet(look, walked):
        found.items += _empty_commits(walked, {item.path for item in found.items})
        found.items += _empty_folders(walked, {item.path for item in found.items})
    return found


def _partials(look: BaseState, walked: Walked) -> RepoGarbage:
    """Return known programs' dead temporary files, and whether one is being written."""
    found = RepoGarbage(notes=list(walked.faults))
    for path, status in walked.entries:
        if stat.S_ISDIR(status.st_mode) or not is_temporary(_area(walked, path), path.rpartition("/")[2]):
            continue
        if look.is_dead(status):
            found.items.append(GcItem("partial", path, freed_by(status), "no process continues it"))
        else:
            found.in_flight = True
            found.recent_bytes += freed_by(status)
    return found


def _unlinked(look: BaseState, walked: Walked) -> list[tuple[str, os.stat_result]]:
    """Return the blobs that no snapshot links to."""
    blobs = walked.repo.blobs
    folder = os.path.realpath(blobs)
    loose = []
    for path, found in walked.entries:
        parent, _, name = path.rpartition("/")
        is_blob = parent == str(blobs) and is_digest(name) and not stat.S_ISDIR(found.st_mode)
        if is_blob and f"{folder}/{name}" not in look.links:
            loose.append((path, found))
    return loose


def _lost(look: BaseState, walked: Walked, loose: Sequence[tuple[str, os.stat_result]]) -> dict[str, int]:
    """Return the blobs that may only have lost their links and that no registered model needs, with their sizes."""
    if not any(_area(walked, path) in _NAMING for path, _ in walked.entries):
        return {}  # no copy of a whole repository lacks all of these: its first download was abandoned
    wanted = _wanted(look, walked)
    sizes = {path.rpartition("/")[2]: found.st_size for path, found in loose}
    lost = lost_links.among(walked.repo, sizes.keys() - wanted, walked.links, os.path.realpath(walked.repo.blobs))
    return {digest: sizes[digest] for digest in lost}


def _why_lost(look: BaseState, walked: Walked, lost: Mapping[str, int]) -> str:
    """Return what to say about blobs that may only have lost their links, in a sentence."""
    what = f"{many(len(lost), 'blob')} of {walked.repo_id} ({format_size(sum(lost.values()))})"
    return (
        f"{what} may only have lost their links, so they stay. shelf adopt {look.base.path} restores what it can. "
        f"If nobody needs the rest, delete it by hand: {walked.repo.blobs}"
    )


def _orphans(look: BaseState, walked: Walked, loose: Sequence[tuple[str, os.stat_result]]) -> Iterator[GcItem]:
    """Yield the unlinked blobs that nobody needs, given what is needed.

    **Concurrency:** huggingface_hub holds a blob's lock from its download to its link. llama.cpp takes none, and links
    all parts of a model after the last one: until then its repository has a temporary file, or a blob that
    arrived a moment ago, and is left alone. Our own pulls are in the registry.
    """
    for path, found in loose:
        if not look.is_dead(found):
            continue
        if stat.S_ISLNK(found.st_mode) and not (look.store_is_known and _is_dead_behind(look, path)):
            continue
        yield GcItem("blob", path, freed_by(found), "no snapshot links to it")


def _wanted(look: BaseState, walked: Walked) -> Set[Digest]:
    """Return the digests of a repository that registered models need."""
    if walked.repo_type != "model" or walked.repo_id is None:
        return frozenset()
    return look.needs.digests.get(walked.repo_id, frozenset())


def _is_dead_behind(look: BaseState, link: str) -> bool:
    try:
        found = Path(link).stat()
    except OSError:
        return True
    return (found.st_dev, found.st_ino) not in look.opened


def _is_quiet(look: BaseState, walked: Walked) -> bool:
    """Return whether nothing in a repository was touched for long.

    A download makes its folders and its ref first, and would fail if they were deleted before its first file is there.
    """
    try:
        own = walked.repo.path.lstat()
    except OSError:
        return False
    return all(look.is_old(found) for found in (own, *(found for _, found in walked.entries)))


def _empty_commits(walked: Walked, going: Set[str]) -> Iterator[GcItem]:
    """Yield the refs and listings of commits without files and without a negative cache."""
    files = [path for path, found in walked.entries if not stat.S_ISDIR(found.st_mode) and path not in going]
    held = {_parts(walked, path)[1] for path in files if _area(walked, path) in ("snapshots", ".no_exist")}
    for revision, commit_hash in scan.refs(walked.repo).items():
        path = str(walked.repo.ref(revision))
        if commit_hash not in held and COMMIT_HASH.fullmatch(commit_hash) and path not in going:
            yield GcItem("ref", path, len(commit_hash), "it names a commit that has no files here")
    for path, found in walked.entries:
        name, dot, suffix = Path(path).name.partition(".")
        is_listing = _area(walked, path) == "trees" and dot + suffix == ".json" and COMMIT_HASH.fullmatch(name)
        if is_listing and name not in held:
            yield GcItem("listing", path, freed_by(found), "it lists a commit that has no files here")


def _empty_folders(walked: Walked, going: Set[str]) -> Iterator[GcItem]:
    """Yield folders that will be empty, deepest first; those of the layout only with the whole repository."""
    held: set[str] = set()
    root = str(walked.repo.path)
    for path, found in walked.entries:
        is_folder = stat.S_ISDIR(found.st_mode)
        if path in held or not (is_folder or path in going):
            held.add(path.rpartition("/")[0])
    for path, found in walked.entries:
        parts = _parts(walked, path)
        is_inner = len(parts) > 1 or is_probe(parts[0])
        if stat.S_ISDIR(found.st_mode) and path not in held and (is_inner or root not in held):
            yield GcItem("folder", path, found.st_size, "it is empty")
    if root not in held:
        yield GcItem("folder", root, walked.repo.path.lstat().st_size, "it is empty")


def freed_by(found: os.stat_result) -> int:
    """Return how many bytes deleting a name frees: a file's written bytes without holes, or a link's own."""
    if found.st_nlink > 1:
        return 0
    return min(found.st_size, found.st_blocks * 512) if stat.S_ISREG(found.st_mode) else found.st_size


def _area(walked: Walked, path: str) -> str:
    parts = _parts(walked, path)
    return parts[0] if len(parts) > 1 else ""


def _parts(walked: Walked, path: str) -> list[str]:
    return path[len(str(walked.repo.path)) + 1 :].split("/")


def in_store(look: BaseState, going: Set[Path]) -> list[GcItem]:
    """Return the shared store's payloads without links, or only what goes.

    Args:
        look: The base's state.
        going: Links that will be deleted, by path.
    """
    if not look.store_is_known:
        return []
    payloads = shared_store.unreferenced(look.base)
    for link in going:
        payload = shared_store.payload_of(look.base, link)
        if payload is not None and shared_store.freed_without(look.base, payload, set(going)):
            payloads[payload] = payload.lstat().st_size
    found = []
    for payload in sorted(payloads):
        with contextlib.suppress(OSError):
            status = payload.lstat()
            if (status.st_dev, status.st_ino) not in look.opened:
                found.append(GcItem("shared", str(payload), freed_by(status), "no repository links to it"))
    return found
