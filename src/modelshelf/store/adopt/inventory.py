"""What is below a path that is to be adopted, by names and sizes: nothing is read, nothing is changed.

No link is followed out of its folder, because whoever may write into a cache could plant one. A link that leads out is
named and left alone, and so is what may not be read.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.domain.adopt_inventory import FoundFile, FoundModel, FoundThing, Inventory, Origin
from modelshelf.domain.file_kinds import is_pointer, is_weights
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CLUTTER, COMMIT_HASH, CommitHash, FilePath, RepoId, is_own_ref
from modelshelf.domain.repo_folders import looks_like_repo, parse_repo_folder
from modelshelf.errors import BadInput
from modelshelf.store.adopt import other_tools
from modelshelf.store.adopt.foreign import folders, is_plain
from modelshelf.store.blobs import shared_store
from modelshelf.store.layout import SHARED_MARKER, Base, CacheDir, Repo
from modelshelf.store.probe import is_file, is_link, is_real_folder, is_there
from modelshelf.store.repos import judge, lost_links, scan
from modelshelf.store.repos.names import RepoNames, SnapshotFile
from modelshelf.store.tiers import marker
from modelshelf.store.tiers.seen import SeenBase
from modelshelf.units import many

_FLAT = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{64})?(\.h5)?(\.json|\.lock)?")
"""A file of the flat cache of huggingface_hub before 0.8 and of transformers before 4.22: hash of url and etag."""
_HOUSEKEEPING = frozenset(
    ".locks CACHEDIR.TAG version.txt version_diffusers_cache.txt blobs .huggingface-shared-blobs".split()
)
_STAMP = re.compile(r"\.check_for_\w*update_done")
"""An empty file of the command `hf`: when it last checked for a newer version."""
_STRANGE = "This isn't a valid repository name."
_TOP = {
    "token": "token",
    "stored_tokens": "token",
    "xet": "xet",
    "modules": "modules",
    "assets": "assets",
    "datasets": "datasets",
    "accelerate": "accelerate",
    "transformers": "dead",
}


def find(path: Path, repo_id: str = "") -> Inventory:
    """Return everything below a path: a base, a cache_dir, or another program's folder.

    Args:
        path: The folder.
        repo_id: The repository of a `local_dir`, whose metadata doesn't name it.
    """
    if not is_base(path):
        folder, found = other_tools.find(path, repo_id)
        models = [model for model in found if not (_is_clone_in_trouble(model) and _is_taken_in(Path(model.place)))]
        return Inventory(str(path), tuple(models), tuple(_not_understood(folder, models)))
    looking = _Looking(path)
    looking.run()
    return Inventory(str(path), tuple(looking.models), tuple(sorted(looking.things, key=lambda thing: thing.path)))


def _not_understood(folder: Path, models: Sequence[FoundModel]) -> Iterator[FoundThing]:
    """Yield what lies beside other programs' models and isn't part of any."""
    taken = {source for model in models for _, source in model.sources}
    for entry in _entries(folder) if models else ():
        is_part = any(str(file) in taken for file in scan.walk_files(Path(entry.path))) or entry.path in taken
        is_model = any(Path(model.place).is_relative_to(entry.path) for model in models)
        is_model = is_model or (entry.name == "manifests" and models[0].kind is Origin.OLLAMA)
        is_known = is_part or is_model or entry.name.startswith(".") or _is_taken_in(Path(entry.path))
        if not is_known and (size_bytes := size_of(Path(entry.path))):
            yield FoundThing("other", entry.path, size_bytes, _why_stays(entry.name))


def _is_clone_in_trouble(model: FoundModel) -> bool:
    return model.kind is Origin.GIT and model.trouble != ""


def _is_taken_in(path: Path) -> bool:
    """Return whether links into a base have the place of all weights there: the other files are the program's."""
    files = list(scan.walk_files(path)) if is_real_folder(path) else [path]
    own = (file for file in files if is_weights(file.name) and is_plain(file) and not is_pointer(judge.head(file)))
    return any(marker.base_behind(file) for file in files) and not any(own)


def loose_weights(path: Path) -> list[FoundThing]:
    """Return the weights in a folder and in those in it, by path, each with why it stays: nobody knows whose they are.

    It may be a home, with millions of files: it isn't looked any deeper.
    """
    found = (file for each in (path, *folders(path)) for file in sorted(each.glob("*")))
    loose = (file for file in found if is_weights(file.name) and is_plain(file))
    return [FoundThing("other", str(file), size_of(file), _why_stays(file.name)) for file in loose]


def _why_stays(name: str) -> str:
    if name.lower().endswith(".gguf"):
        return "Single GGUF files are taken from a folder named models."
    return "No reader of shelf understands it."


def models_of(base: Base, known: Mapping[RepoId, Set[CommitHash]], seen: SeenBase | None = None) -> list[FoundModel]:
    """Return the models in a base's hub folder, including those that can't be adopted.

    Args:
        base: The base.
        known: By repository, the commits known to be whole; a repository without others is left out.
        seen: What was seen of the base already.
    """
    looking, unknown, seen = _Looking(base.path), shared_store.why_unknown(base), seen or SeenBase(base)
    for repo_type, repo_id, repo in seen.repos:
        if repo_type == "model" and not _is_known(seen.names(repo), known.get(repo_id, frozenset())):
            looking.model(base, Origin.CACHE, repo_id, repo, unknown)
    return looking.models


def _is_known(names: RepoNames, known: Set[CommitHash]) -> bool:
    with contextlib.suppress(OSError):
        return bool(known) and known >= {*names.commits, *names.listed_commits}
    return False


def is_base(path: Path) -> bool:
    """Return whether a folder looks like a base or a cache_dir."""
    names = {entry.name for entry in _entries(path)} | {entry.name for entry in _entries(path / "transformers")}
    return "hub" in names or any(looks_like_repo(name) or _FLAT.fullmatch(name) for name in names)


def stray_dirs(base: Base) -> list[CacheDir]:
    """Return the folders of a base that hold strays: itself, and `hub/hub`."""
    nested = [e for e in _entries(base.hub) if e.name == "hub" and e.is_dir(follow_symlinks=False)]
    found = [base.path, *(Path(entry.path) for entry in nested)]
    return [CacheDir(path) for path in found if any(_is_stray(entry) for entry in _entries(path))]


def _is_stray(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry beside `hub` is a repository, and not a view's link to one in `hub`."""
    return looks_like_repo(entry.name) and not _is_of_view(entry)


def _is_of_view(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is what a view for `cache_dir=BASE` has, whoever made it."""
    target = ""
    with contextlib.suppress(OSError):  # it isn't a link
        target = str(Path(entry.path).readlink())
    return target == f"hub/{entry.name}"


def size_of(path: Path) -> int:
    """Return the bytes of everything below a path, each inode once; no link is followed."""
    seen: dict[tuple[int, int], int] = {}
    found = scan.walk_files(path) if is_real_folder(path) else [path]
    for file in found:
        with contextlib.suppress(OSError):
            stated = file.lstat()
            seen[stated.st_dev, stated.st_ino] = stated.st_size
    return sum(seen.values())


@dataclass(slots=True)
class _Looking:
    """One scan of a base."""

    path: Path
    models: list[FoundModel] = field(default_factory=list)
    things: list[FoundThing] = field(default_factory=list)

    def run(self) -> None:
        """Scan everything."""
        base = Base(self.path)
        strays = {cache.path for cache in stray_dirs(base)}
        for entry in _entries(self.path):
            self._top(entry, has_strays=self.path in strays)
        for cache_dir, kind in [(base, Origin.CACHE), *((cache, Origin.STRAY) for cache in stray_dirs(base))]:
            self._cache_dir(cache_dir, kind)

    def _top(self, entry: os.DirEntry[str], *, has_strays: bool) -> None:
        if entry.name == "modelshelf" or looks_like_repo(entry.name) or _STAMP.fullmatch(entry.name):
            return
        if entry.is_symlink():
            self._link(entry)
        elif entry.name == "hub":
            if _unreadable(entry):
                self._thing("unreadable", entry.path, "This user can't read it.")
        elif not (has_strays and entry.name in _HOUSEKEEPING):
            is_store = is_file(Path(entry.path) / SHARED_MARKER)
            kind = "dead" if _FLAT.fullmatch(entry.name) else _TOP.get(entry.name, "store" if is_store else "other")
            is_download = kind == "other" and other_tools.is_local_dir(Path(entry.path))
            self._thing(kind, entry.path, other_tools.how_to_adopt(Path(entry.path)) if is_download else "")

    def _cache_dir(self, cache_dir: Base, kind: Origin) -> None:
        is_hub = kind is Origin.CACHE or cache_dir.path != self.path
        unknown = shared_store.why_unknown(cache_dir)
        for entry in _entries(cache_dir.hub):
            parsed = parse_repo_folder(entry.name)
            if parsed is None and (is_hub or looks_like_repo(entry.name)):
                self._other(entry)
            elif parsed is not None and entry.is_symlink():
                if not _is_of_view(entry):
                    self._link(entry)
            elif parsed is not None and _unreadable(entry):
                self._thing("unreadable", entry.path, "This user can't read it.")
            elif parsed is not None and parsed[0] == "model":
                self.model(cache_dir, kind, parsed[1], Repo(entry.path, cache_dir.path), unknown)
            elif parsed is not None:
                self._thing(parsed[0], entry.path)

    def _other(self, entry: os.DirEntry[str]) -> None:
        """Name what is in hub/ and isn't a repository."""
        if entry.is_symlink():
            self._link(entry)
        elif _FLAT.fullmatch(entry.name):
            self._thing("dead", entry.path)
        elif entry.name not in _HOUSEKEEPING and entry.name != "hub":
            self._thing("other", entry.path, _STRANGE if looks_like_repo(entry.name) else "")

    def model(self, cache_dir: Base, kind: Origin, repo_id: RepoId, repo: Repo, unknown: str) -> None:
        """Scan the snapshots of one repository."""
        refs = {name: commit_hash for name, commit_hash in scan.refs(repo).items() if not is_own_ref(name)}
        where = {commit_hash: name for name, commit_hash in sorted(refs.items(), reverse=True)}
        where |= {commit_hash: name for name, commit_hash in refs.items() if name == "main"}
        names = RepoNames(repo)
        fault = _fault(repo) or (unknown if _uses_store(names) else "")
        lost = {} if fault else {found.commit_hash: found.files for found in lost_links.find(names)}
        commits = {CommitHash(e.name) for e in _entries(repo.snapshots) if COMMIT_HASH.fullmatch(e.name)} | lost.keys()
        for commit_hash in sorted(commits):
            if names.is_view(commit_hash):
                continue
            lost_here: dict[str, FileEntry] = {file.path: file for file in lost.get(commit_hash, ())}
            seen = _SnapshotLook(cache_dir, names, commit_hash, lost_here)
            trouble = fault or seen.trouble()
            trouble = trouble or ("" if seen.files else _why_no_files(names, repo_id))
            listed, files = names.listed(commit_hash), tuple(seen.files)
            found = FoundModel(
                kind=kind,
                place=str(cache_dir.hub),
                repo_id=repo_id,
                commit_hash=commit_hash,
                files=files,
                listed=listed,
                revision=where.get(commit_hash) or "",
                trouble=trouble or judge.why_not_whole(repo.snapshot(commit_hash), files, listed, names.arriving),
                lost=lost.get(commit_hash, ()),
            )
            self.models.append(found)
        if not commits:
            why = fault or _why_no_files(names, repo_id) or "It has no snapshot."
            self._thing("link" if fault else "partial", str(repo.path), why)

    def _link(self, entry: os.DirEntry[str]) -> None:
        target = "somewhere"
        with contextlib.suppress(OSError):
            target = str(Path(entry.path).readlink())
        self._thing("link", entry.path, f"It is a link to {target}: not followed.")

    def _thing(self, kind: str, path: str, why: str = "") -> None:
        self.things.append(FoundThing(kind, path, size_of(Path(path)), why))


@dataclass(slots=True)
class _SnapshotLook:
    """The files of one snapshot, and what is wrong with them."""

    cache_dir: Base
    names: RepoNames
    commit_hash: CommitHash
    lost: Mapping[str, FileEntry]
    """By path, the files whose blobs exist and whose links were lost."""
    files: list[FoundFile] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    root: str = ""
    """The real path of the folder of repositories, once it was asked for; see `_real_root`."""

    def trouble(self) -> str:
        """Check every file; return the first problem in a sentence."""
        listed = {file.path: file for file in self.names.listed(self.commit_hash)}
        folder = self.names.repo.snapshot(self.commit_hash)
        if is_link(folder):
            return f"{folder} is a link to {folder.readlink()}: not followed."
        snapshot = self.names.snapshot(self.commit_hash)
        self.faults += snapshot.faults
        for file in snapshot.files:
            is_clutter = file.link is None and file.name not in listed and CLUTTER.fullmatch(file.path.name)
            if file.name not in self.lost and not is_clutter:
                self._file(file, listed)
        found = [FoundFile(file.path, file.size_bytes, file.digest) for file in self.lost.values()]
        self.files = sorted([*self.files, *found], key=lambda file: file.path)
        return self.faults[0] if self.faults else ""

    def _file(self, file: SnapshotFile, listed: Mapping[FilePath, FileEntry]) -> None:
        name, plain = file.name, self.names.plain_blobs.get(file.digest or "")
        try:
            inside = FilePath(name)
            real = plain.path if plain else os.path.realpath(file.place, strict=True)
            found = plain.stat() if plain else os.stat(real)  # noqa: PTH116 - a Path per file doubles the scan
        except (OSError, RuntimeError):
            fault = f"{name} is a broken link."
        except BadInput as err:
            fault = err.detail
        else:
            fault = _why_closed(real, found, name) if plain else _why_not_taken(real, found, self._real_root(), name)
            digest = file.digest
            if file.link is None and judge.link_text(file.path):
                fault = fault or f"{name} is a link that became a text file, and its blob isn't here."
            if file.link is not None and digest is None:
                fault = fault or f"{name} leads to no blob."
            elif digest is None and inside in listed and listed[inside].size_bytes == found.st_size:
                digest = listed[inside].digest
            self.files.append(FoundFile(inside, found.st_size, digest))
        if fault:
            self.faults.append(fault)

    def _real_root(self) -> str:
        self.root = self.root or str(self.cache_dir.hub.resolve())
        return self.root


def _why_not_taken(real: str, found: os.stat_result, root: str, name: str) -> str:
    if not real.startswith(f"{root}/"):
        return f"{name} is a link out of the cache to {real}: not followed."
    if not stat.S_ISREG(found.st_mode):
        return f"{name} isn't a file."
    return _why_closed(real, found, name)


def _why_closed(real: str, found: os.stat_result, name: str) -> str:
    if not os.access(real, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"This user can't read {name} (it belongs to uid {found.st_uid})."
    return ""


def _fault(repo: Repo) -> str:
    """Return why nothing in a repository is touched, in a sentence; empty if it may be."""
    if is_there(repo.path) and not scan.may_read(repo.path):
        return f"This user can't read {repo.path}."
    for folder in (repo.blobs, repo.snapshots, repo.refs, repo.trees, repo.absences):
        if is_link(folder):
            return f"{folder} is a link to {folder.readlink()}: not followed."
        if is_there(folder) and not scan.may_read(folder):
            return f"This user can't read {folder}."
    return ""


def _why_no_files(names: RepoNames, repo_id: str) -> str:
    """Return why a snapshot has no files though the repository has blobs, in a sentence; empty without blobs."""
    count = len(names.blobs)
    if not count:
        return ""
    return (
        f"The links to its {many(count, 'blob')} were lost, and no list here says which file each one is. The hub"
        f" knows, and nothing that is here is downloaded again: shelf add NAME {repo_id}"
    )


def _uses_store(names: RepoNames) -> bool:
    return any(entry.is_symlink() for entry in names.blob_entries.values())


def _unreadable(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not scan.may_read(Path(entry.path))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name; nothing if it can't be read or is a link."""
    with contextlib.suppress(OSError):
        if not is_link(folder):
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
    return []
